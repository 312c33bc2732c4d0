"""Smaller grammars of our sentences in other languages. Read by texts."""

_SPANISH = """
S = {clause}. | {clause} {when}. | {when}, {clause}. | {question}? | {exclaim}! | {clause}, pero {clause}.
    | {number}.
clause = {who} {did} {thing} | {who} {did} {thing} {where} | {thing} es {quality} | {who} vive {where}
who = mi hermano | la señora García | el niño pequeño | nuestra vecina | el jefe | Javier | la profesora
    | mi abuelo | el zapatero
did = compró | encontró | perdió | quiere | busca | llevó | dibujó | escribió sobre | recuerda | vendió | reparó
    | olvidó
thing = el coche rojo | una guitarra vieja | la llave de la casa | un jarrón azul | el queso fresco | la bicicleta
    | un libro | el pájaro amarillo | una camisa blanca | el cuchillo | la lluvia de abril | un regalo para Chucho
    | el juego
where = en la cocina | cerca del río | en la calle mayor | al lado del puente | en México | detrás de la iglesia
    | en la playa
when = ayer | hoy por la mañana | el jueves | después de la cena | en julio | hace {2-30} años | cada noche | mañana
quality = muy grande | demasiado caro | bastante raro | perfecto | fácil de usar | mejor que nunca | poco común
question = ¿dónde está {thing} | ¿cuánto cuesta {thing} | ¿por qué {did} {who} {thing} | ¿te gusta {thing}
    | ¿qué hora es
exclaim = ¡qué bonito | ¡cuidado con {thing} | ¡feliz cumpleaños | ¡vamos {where} | ¡muchas gracias
    | ¡buenos días, {who}
number = son las {2-12} y {2-59} | tengo {2-99} años | cuesta {2-900} pesos
    | mi número es {100-999}, {10-99}, {10-99}
"""

_FRENCH = """
S = {clause}. | {clause} {when}. | {when}, {clause}. | {question} ? | {exclaim} ! | {clause}, mais {clause}.
    | {number}.
clause = {who} {did} {thing} | {who} {did} {thing} {where} | {thing} est {quality} | {who} habite {where}
who = mon frère | la voisine | le petit garçon | ma grand-mère | le boulanger | Juliette | notre professeur
    | le jeune homme
did = achète | a trouvé | cherche | voudrait | a perdu | regarde | a peint | oublie toujours | répare | a choisi
    | mange
thing = un bon vin blanc | la voiture rouge | une feuille de papier | le vieux château | huit œufs
    | la clé du jardin | un bouquet de fleurs | le livre bleu | une chanson | le fromage | la lune | du pain frais
    | une peinture de la rue
where = dans la cuisine | près de la rivière | au coin de la rue | à Bruxelles | sous le pont | devant l'église
    | en ville
when = hier | ce matin | jeudi dernier | après le déjeuner | en juillet | il y a {2-30} ans | chaque soir | demain
quality = trop grand | vraiment joli | un peu étrange | tout neuf | bien meilleur | facile à trouver
    | plein de surprises
question = où est {thing} | combien coûte {thing} | pourquoi {who} {did} {thing} | aimez-vous {thing}
    | quelle heure est-il
exclaim = quelle belle journée | attention à {thing} | joyeux anniversaire | allons {where} | merci beaucoup
    | bonjour, {who}
number = il est {2-23} heures {2-59} | il a {2-99} ans | cela coûte {2-900} euros | page {2-400}, ligne {2-50}
"""

_GERMAN = """
S = {clause}. | {clause}, {link} {clause}. | {question}? | {exclaim}! | {number}. | {when} {verb} {who} {thing}.
    | {clause} {where}.
link = und | aber | denn
clause = {who} {verb} {thing} | {who} {verb} {when} {thing} | {thing_n} ist {quality} | {who} wohnt {where}
who = mein Bruder | die Nachbarin | der junge Mann | unsere Lehrerin | der Bäcker | Jürgen | ein fröhliches Kind
    | die Köchin
verb = sucht | kauft | verliert | findet | zeichnet | öffnet | wünscht sich | bringt | repariert | vergisst
    | möchte | probiert
thing = das schöne Haus | einen grünen Apfel | fünf Bücher | die Schlüssel | den alten Koffer | eine Flöte
    | das Frühstück | zwölf Vögel | ein neues Fahrrad | die Zeitung | einen Pfannkuchen | das Gepäck
    | eine heiße Suppe | viele Häuser
thing_n = der große Fluss | die schöne Stadt | das Wetter | die Brücke | der Schlüssel | das Pferd | die Übung
    | der Zug
where = in der Küche | am Fluss | hinter der Kirche | in München | auf dem Markt | unter der Brücke | in Österreich
when = gestern | heute früh | am Donnerstag | im Februar | jeden Abend | nach dem Essen | übermorgen | manchmal
quality = viel zu groß | ziemlich teuer | wunderschön | nicht so einfach | völlig leer | besonders günstig
    | ganz ruhig
question = wo ist {thing_n} | warum {verb} {who} {thing} | wie viel kostet das | wann kommt {who}
    | {verb} {who} {thing}
exclaim = wie schön | guten Morgen, Frau König | herzlichen Glückwunsch | Vorsicht | vielen Dank | so ein Zufall
    | auf geht's
number = es ist {2-23} Uhr {2-59} | das kostet {2-900} Euro | ich bin {2-99} Jahre alt | Seite {2-400}, Zeile {2-50}
"""

_ITALIAN = """
S = {clause}. | {clause} {when}. | {when}, {clause}. | {question}? | {exclaim}! | {clause}, ma {clause}. | {number}.
clause = {who} {did} {thing} | {who} {did} {thing} {where} | {thing} è {quality} | {who} abita {where}
who = mio fratello | la vicina | il giovane pittore | mia nonna | il medico | Giulia | la maestra
    | il signor Zanetti
did = compra | ha trovato | cerca | vorrebbe | ha perso | guarda | disegna | dimentica sempre | aggiusta
    | ha scelto | mangia
thing = la pizza | gli gnocchi | un bicchiere d'acqua | la chiave di casa | il vecchio orologio | una bottiglia
    | i fagioli | il cappello giallo | una bella canzone | lo zaino | il formaggio fresco | l'uovo
    | la sciarpa azzurra | un mazzo di fiori
where = in cucina | vicino al fiume | a Venezia | dietro la chiesa | sotto il ponte | in montagna | sulla spiaggia
when = ieri | stamattina | giovedì | dopo pranzo | a luglio | {2-30} anni fa | ogni sera | domani
quality = troppo grande | molto caro | davvero bello | un po' strano | facile da usare | pieno di sorprese
    | quasi perfetto
question = dov'è {thing} | quanto costa {thing} | perché {who} {did} {thing} | ti piace {thing} | che ore sono
exclaim = che bella giornata | attenzione | buon compleanno | andiamo {where} | grazie mille | buongiorno, {who}
    | evviva
number = sono le {2-12} e {2-59} | costa {2-900} euro | ho {2-99} anni | pagina {2-400}, riga {2-50}
"""

_PORTUGUESE = """
S = {clause}. | {clause} {when}. | {when}, {clause}. | {question}? | {exclaim}! | {clause}, mas {clause}.
    | {number}.
clause = {who} {did} {thing} | {who} {did} {thing} {where} | {thing} é {quality} | {who} mora {where}
who = meu irmão | a vizinha | o menino | minha mãe | o padeiro | João | a professora | o senhor Magalhães
    | minha filha
did = comprou | encontrou | procura | quer | perdeu | desenhou | sempre esquece | consertou | escolheu | come | viu
thing = o pão quente | a chave da casa | um carro velho | o coração de chocolate | uma canção | o ninho
    | a bicicleta | dez maçãs | o queijo | um jarro azul | a folha de papel | o peixe fresco | um chapéu
    | a lua cheia | as mãos
where = na cozinha | perto do rio | em São Paulo | atrás da igreja | debaixo da ponte | na praia | no jardim
when = ontem | hoje de manhã | na quinta-feira | depois do almoço | em julho | há {2-30} anos | toda noite | amanhã
quality = muito grande | caro demais | bem bonito | um pouco estranho | fácil de usar | cheio de surpresas
    | quase perfeito
question = onde está {thing} | quanto custa {thing} | por que {who} {did} {thing} | você gosta de música
    | que horas são
exclaim = que dia lindo | cuidado | feliz aniversário | vamos embora | muito obrigado | bom dia, {who} | parabéns
number = são {2-12} horas e {2-59} minutos | custa {2-900} reais | tenho {2-99} anos | página {2-400}
"""

_RUSSIAN = """
S = {clause}. | {clause} {when}. | {when} {clause}. | {question}? | {exclaim}! | {clause}, но {clause}. | {number}.
clause = {who} {did} {thing} | {who} {did} {thing} {where} | {subject} {quality}
who = мой брат | весёлый мальчик | наш учитель | старый рыбак | доктор | Юрий | сосед | молодой художник | хозяин
did = купил | нашёл | потерял | хочет | ищет | видел | нарисовал | забыл | починил | выбрал | продал | принёс
thing = хлеб | горячий чай | большой ящик | красный шарф | ключ | журнал | вкусный борщ | жёлтый мяч | подарок
    | пять яблок | чёрный чемодан | билет в цирк | свежую рыбу | интересную книгу | мёд | новый велосипед | щётку
    | объявление
subject = погода | эта улица | река | наша школа | музыка | жизнь | площадь | библиотека
where = на кухне | у реки | в Москве | за церковью | под мостом | на пляже | в лесу | на вокзале
when = вчера | сегодня утром | в четверг | после обеда | в июле | каждый вечер | завтра | много лет назад
quality = очень хорошая | слишком большая | немного странная | уже не та | всегда разная | самая лучшая
question = где {who} | сколько это стоит | почему {who} {did} {thing} | вы любите музыку | который час
    | кто {did} {thing}
exclaim = какой чудесный день | осторожно | с днём рождения | большое спасибо | здравствуйте | пойдём | ура
number = сейчас {2-23} часов {2-59} минут | это стоит {2-900} рублей | мне {25-30} лет | страница {2-400}
"""

_JAPANESE = """
S = {clause}。 | {when}、{clause}。 | {question}。 | {exclaim}。 | {clause}、でも、{clause}。
clause = {who}は {thing}を {did} | {who}は {where}で {thing}を {did} | {thing}は {quality}です
who = わたし | おとうと | せんせい | おばあさん | ともだち | となりの ひと | いしゃ | ちいさい こども | たなかさん
did = かいました | みつけました | たべました | さがしています | わすれました | えらびました | つくりました
    | よみました | うりました
thing = りんご | あたらしい ほん | ちゃわん | おちゃ | じてんしゃ | ふるい とけい | きっぷ | しんぶん | さかな
    | ふうせん | ぎゅうにゅう | ひこうき | むらさきの はな | てがみ | りょこう | ざっし | つくえ
where = だいどころ | がっこう | えき | としょかん | とうきょう | こうえん | うみ | びょういん | きょうと
when = きのう | けさ | もくようび | ばんごはんの あと | しちがつに | まいばん | あした | きょねん
quality = とても おおきい | すこし たかい | ほんとうに きれい | べんり | めずらしい | いちばん ゆうめい | つまらない
question = {thing}は どこですか | {who}は なにを {did}か | いま なんじですか | {thing}が すきですか | いくらですか
exclaim = おはようございます | きをつけて | おたんじょうび おめでとう | ありがとうございます | すばらしい
    | いきましょう | えっ、ほんとう
"""

_HINDI = """
S = {clause}। | {when} {clause}। | {question}? | {exclaim}! | {clause}, लेकिन {clause}।
clause = {who} ने {thing} {did} | {who} ने {where} {thing} {did} | {thing} {quality} है
who = मेरे भाई | शिक्षक | छोटे लड़के | दादी | डॉक्टर | पड़ोसी | राजेश | मेरी बहन
did = खरीदा | देखा | खो दिया | बनाया | बेचा | ढूँढा | चुना | पढ़ा
thing = घर | ठंडा पानी | फल | पुराना चित्र | नया घोड़ा | खाना | अखबार | फूल | छाता | दरवाज़ा
where = बाज़ार में | नदी के पास | दिल्ली में | रसोई में | पेड़ के नीचे | स्कूल में
when = कल | आज सुबह | हर शाम | गुरुवार को | खाने के बाद | जुलाई में
quality = बहुत बड़ा | सुंदर | थोड़ा महँगा | अच्छा | खाली | अजीब
question = {thing} कहाँ है | यह कितने का है | {who} ने {thing} क्यों {did} | आप कैसे हैं | क्या समय हुआ है
exclaim = बहुत धन्यवाद | नमस्ते | जन्मदिन मुबारक | सावधान | चलो चलें | वाह, क्या बात है
"""

GRAMMARS = {
    "es": _SPANISH,
    "fr": _FRENCH,
    "de": _GERMAN,
    "it": _ITALIAN,
    "pt": _PORTUGUESE,
    "ru": _RUSSIAN,
    "ja": _JAPANESE,
    "hi": _HINDI,
}
