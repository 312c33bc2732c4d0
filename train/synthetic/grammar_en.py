"""The grammar of our English sentences. Read by texts."""

ENGLISH = """
S = {statement}. | {statement}. | {statement}, {link} {clause}. | {question}? | {question}? | {exclaim}!
    | {smalltalk}. | {number}. | {tongue}. | {advice}. | {opinion}. | {opening}, {clause}. | {exclaim}! {clause}.
    | {plan}. | {news}.
statement = {clause} | {clause} {when} | {when}, {clause} | {clause} {where} | {clause} {where} {when}
link = but | and | so | because | although | while | until | even though | which is why
opening = well | honestly | you know | as far as I can tell | by the way | to be fair | in the meantime
    | believe me | on the other hand | to my surprise | for what it is worth | sooner or later
clause = {who} {did} {thing} | {who} {did} {thing} {how} | {who} {went} {where} | {thing} {was} {quality} | {it}
    | {who} {felt} {feeling} | {who} {said} that {thing} {was} {quality} | {who} {did} {thing} for {whom}
who = my older brother | the quiet neighbour | her youngest daughter | our teacher | a cheerful baker
    | the whole family | every visitor | the captain | a tall stranger | Julia | Thomas | Mr. Fisher
    | Doctor Walsh | the painter | we | they | both of them | somebody | the shopkeeper | that clever fox
    | a pair of thieves | the weather girl | my boss | Ruth | the judge | George and Beth | the choir
    | a young violinist | his father | the pilot | some farmers | the mayor
did = bought | painted | finally found | lost | described | measured | carried | borrowed | forgot | watched
    | repaired | finished | discovered | showed us | explained | wrapped up | photographed | polished | refused
    | chose | brought back | threw away | joined together | examined | offered | washed | wished for
    | would rather have | should have kept | could not bear | voted for | pushed aside | pulled down | put away
    | gave back | thought about | laughed at
thing = the old wooden boat | a fresh loaf of bread | those yellow flowers | the broken window
    | a beautiful picture | her favourite cup | the garden fence | a box of matches | the long report
    | seven silver spoons | the new bridge | his father's watch | an orange umbrella | the last piece of cake
    | two thousand books | the heavy suitcase | a bowl of vegetable soup | the first chapter
    | that strange machine | a pair of leather shoes | the mouse trap | a joyful song | the purple curtain
    | a cheap bicycle | the missing key | their big idea | a huge mirror | the toys | the village church
    | a jar of honey | this treasure map | the measuring tape | a smooth pebble | your whole story
    | the azure vase | a cup of ginger tea | my warm woollen gloves | the birthday card | a jug of milk
    | the fire engine
how = very carefully | without a word | in a hurry | with both hands | for the very first time | as usual
    | by accident | rather slowly | before breakfast | in front of everyone | on purpose | with great pleasure
    | again and again | out of the blue | in the pouring rain | for good measure
went = walked | drove | ran away | sailed | moved | travelled | hurried back | rushed out | wandered off | flew
    | rode
where = to the market | through the forest | across the river | behind the theatre | beside the lake | up the hill
    | into the kitchen | over the bridge | near the harbour | towards the village | down the narrow street
    | by the sea | under the big chestnut tree | around the corner | between the two houses | outside the museum
    | at the airport
when = yesterday | this morning | last Thursday | before lunch | in the middle of June | after the storm
    | every evening | at half past eight | on Wednesday | {2-11} years ago | a few minutes later
    | during the winter | next February | at the weekend | as soon as the sun came up | in {1900-2029}
    | on the {1-12}th of March | from time to time
was = was | is | seemed | looks | became | will always be | must have been | could be | used to be
    | might turn out to be
quality = much too small | perfectly fine | rather unusual | absolutely wonderful | very loud
    | cheaper than before | difficult to reach | easy to use | full of surprises | worth the effort
    | better than nothing | a bit of a mystery | as smooth as glass | completely empty | twice as big
    | hard to believe | thicker than a thumb | so fresh and juicy
felt = felt | looked | was | seemed | became | sounded
feeling = rather pleased | terribly tired | a little nervous | proud of the result | completely lost | quite happy
    | surprised and amused | ready for anything | slightly annoyed | as calm as ever | full of joy
    | too shy to speak
said = said | believed | thought | promised | whispered | told everybody | heard | noticed | admitted | shouted
whom = us | the children | his mother | a good friend | the neighbours | you and me | her cousin | the visitors
    | charity
it = it rained all night | there was nobody around | the doorbell rang twice | the bus never came
    | the coffee got cold | everything changed | the fire went out | the moon shone brightly
    | the phone would not stop buzzing | birds were singing | a thick fog covered the valley
    | the music grew louder | the boys joined in | the water was boiling | the wheels froze
question = where did {who} go | why {would} you {do} {thing} | have you ever seen {thing}
    | what {would} you like for lunch | how many {objects} are there | could you please {do} {thing}
    | who {did} {thing} | is it {quality} | what time is it | did {who} really say that
    | shall we {do} {thing} {when} | how much is that | do you mind if I {do} {thing}
    | which one do you prefer, the {colour} one or the {colour} one | would you mind waiting here
    | are you sure about this | when is your birthday | how far is it from {place} to {place}
    | what do you think of {place} | can you hear me now
would = would | should | could | did | do
do = carry | move | buy | paint | keep | describe | wash | fix | borrow | open | choose | measure | forget | share
    | show | bring | push | pull | weigh | search for | think about | vote for | finish | photograph
objects = apples | people | chairs | bridges | languages | mice | photographs | cherries | rooms | puzzles
    | thieves | vegetables
colour = blue | green | yellow | purple | orange | brown | white | beige | violet | rose | silver
place = Vienna | Paris | Beijing | Chicago | Rome | Moscow | Edinburgh | Cairo | Lisbon | Oslo | Bombay | Zurich
    | Java
exclaim = what a beautiful day | watch out | oh, how lovely | fantastic | come on | never mind | good heavens
    | wow, look at that | of course | not again | please, wait for me | happy birthday | well done, {who}
    | welcome back | thank you so much | stop it | bravo | how thoughtful of you | you must be joking | no way
    | help | yes, exactly | hooray | that is enough
smalltalk = hello, my name is {name} | nice to meet you, {name} | good morning, how are you today
    | see you {when} then | thanks for calling, {name} | sorry, I didn't catch that
    | excuse me, is this seat taken | have a wonderful evening | I am fine, thank you, and you
    | let me introduce {name}, {who} told you about | could you say that once more, {name}
    | I will call you back in {2-59} minutes | make yourself at home, {name} | it was lovely to see you, {name}
name = Emma | Oliver | Sophie | Matthew | Heather | Victor | Phoebe | George | Naomi | Jasper | Ruth | Bjorn | Zoe
    | Hugh | Paul
number = the total is {2-999} dollars and {1-99} cents | my number is {2-9} {0-9} {0-9}, {0-9} {0-9}, {0-9} {0-9}
    | room {100-999} is on floor {2-30} | page {2-400}, line {1-50} | {2-19} times {2-19} is a lot
    | it is {1-12} {10-59} in the morning | platform {1-9}, in {2-45} minutes | about {3-90} percent of {objects}
    | the temperature is {0-38} degrees | we counted {2-9} thousand {100-999} {objects} | chapter {2-90}: {thing}
tongue = she sells {colour} sea shells by the sea shore | {2-9} fluffy feathers on {2-9} thick sheep
    | Peter Piper picked {2-90} pickled peppers | the {colour} judge measured the treasure with pleasure
    | which {colour} witch wished which wicked wish | fresh fried fish for {2-90} {objects}
    | a big black bug bit {who} | around the rough and rugged rock {2-9} ragged rascals ran
    | Betty bought a bit of {colour} butter for {name} | how now, {colour} cow
    | thirty three thousand thoughts about {thing} | unique New York, said {name} {2-9} times
advice = always {do} {thing} before you {do} {thing} | never {do} {thing} {where} | try to {do} {thing} {when}
    | remember to {do} {thing} {how} | if you {do} {thing}, {it} | think of {thing} and breathe out
    | first {do} {thing}, then {do} {thing}, and finally {do} {thing} | please {do} {thing} {when}
opinion = I think that {thing} {was} {quality} | in my view, {place} is {quality}
    | nobody expected {thing} {where} | I would rather go to {place} than to {place}
    | if {who} {did} {thing}, I am {feeling} | the best part of {place} is {thing}
    | I have always wanted to {do} {thing}
plan = tomorrow we will {do} {thing} and {do} {thing} | I am going to {place} {when}
    | {name} wants to {do} {thing} {where} | let us {do} {thing} together, {name}
    | they plan to move from {place} to {place} in {2-11} months
news = in {place}, {who} {did} {thing} {when} | experts in {place} say that {thing} {was} {quality}
    | the road from {place} to {place} will be closed {when}
    | and now the weather for {place}: {2-35} degrees, and {it} | {2-99} {objects} were found {where} {when}
    | {name} from {place} won {thing} {when}
"""
