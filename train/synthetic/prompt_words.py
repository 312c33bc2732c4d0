"""What the word prompts of Asterisk's core sounds say, by the names of their files (`digits/7`). Read by prompts."""

_NUMBERS = [*map(str, range(21)), *map(str, range(30, 100, 10)), "hundred", "thousand", "million"]
_DAYS = [f"day-{index}" for index in range(7)]
_MONTHS = [f"mon-{index}" for index in range(12)]
_ORDINALS = [f"h-{index}" for index in range(1, 21)]
_OTHERS = ["today", "tomorrow", "yesterday", "minus"]


def _named(text: str) -> dict[str, str]:
    lists = [part.split() for part in text.strip().split("\n")]
    names = (_NUMBERS, _DAYS, _MONTHS, _ORDINALS, _OTHERS)
    said: dict[str, str] = {}
    for known, words in zip(names, lists, strict=True):
        said |= {
            f"digits/{name}": word.replace("_", " ") for name, word in zip(known, words, strict=True) if word != "-"
        }
    return said


ENGLISH = _named("""
zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen \
eighteen nineteen twenty thirty forty fifty sixty seventy eighty ninety hundred thousand million
Sunday Monday Tuesday Wednesday Thursday Friday Saturday
January February March April May June July August September October November December
first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth fourteenth fifteenth \
sixteenth seventeenth eighteenth nineteenth twentieth
today tomorrow yesterday minus
""")

SPANISH = _named("""
cero uno dos tres cuatro cinco seis siete ocho nueve diez once doce trece catorce quince dieciséis diecisiete \
dieciocho diecinueve veinte treinta cuarenta cincuenta sesenta setenta ochenta noventa - mil -
domingo lunes martes miércoles jueves viernes sábado
enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre diciembre
- - - - - - - - - - - - - - - - - - - -
hoy mañana ayer menos
""")

FRENCH = _named("""
zéro un deux trois quatre cinq six sept huit neuf dix onze douze treize quatorze quinze seize dix-sept dix-huit \
dix-neuf vingt trente quarante cinquante soixante soixante-dix quatre-vingts quatre-vingt-dix cent mille million
dimanche lundi mardi mercredi jeudi vendredi samedi
janvier février mars avril mai juin juillet août septembre octobre novembre décembre
premier deuxième troisième quatrième cinquième sixième septième huitième neuvième dixième onzième douzième treizième \
quatorzième quinzième seizième dix-septième dix-huitième dix-neuvième vingtième
aujourd'hui demain hier moins
""")

ITALIAN = _named("""
zero uno due tre quattro cinque sei sette otto nove dieci undici dodici tredici quattordici quindici sedici \
diciassette diciotto diciannove venti trenta quaranta cinquanta sessanta settanta ottanta novanta cento mille milione
domenica lunedì martedì mercoledì giovedì venerdì sabato
gennaio febbraio marzo aprile maggio giugno luglio agosto settembre ottobre novembre dicembre
primo secondo terzo quarto quinto sesto settimo ottavo nono decimo undicesimo dodicesimo tredicesimo \
quattordicesimo quindicesimo sedicesimo diciassettesimo diciottesimo diciannovesimo ventesimo
oggi domani ieri meno
""")

RUSSIAN = _named("""
ноль один два три четыре пять шесть семь восемь девять десять одиннадцать двенадцать тринадцать четырнадцать \
пятнадцать шестнадцать семнадцать восемнадцать девятнадцать двадцать тридцать сорок пятьдесят шестьдесят семьдесят \
восемьдесят девяносто сто - -
воскресенье понедельник вторник среда четверг пятница суббота
января февраля марта апреля мая июня июля августа сентября октября ноября декабря
- - - - - - - - - - - - - - - - - - - -
сегодня завтра вчера минус
""")

WORDS = {"en": ENGLISH, "es": SPANISH, "fr": FRENCH, "it": ITALIAN, "ru": RUSSIAN}
