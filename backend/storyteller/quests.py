"""Plots that go out and get something: a skill, a lost thing, a far place, a thing to build."""

# ruff: noqa: E501 - prose: one text a line

from __future__ import annotations

from backend.storyteller.plot import Knot, Plot
from backend.storyteller.themes import FAR_PLACES, LOST_THINGS, MAKINGS, SKILLS

QUESTS = (
    Plot(
        "skill",
        {"skill": SKILLS},
        "{skill}",
        (
            "More than anything in the world, {N} wanted to {skill}.",
            "[But|Now,] {N} had one [great|secret|burning] wish, and that was to {skill}.",
            "{N} wished for only one thing, to {skill}, and {they} [thought|dreamed|spoke] of it [day and night|at every meal|all week].",
            "Every [night|evening], before {they} fell asleep, {N} wished that {they} could {skill}.",
        ),
        (
            Knot(
                (
                    "[But whenever|Yet each time] {N} tried, the [neighbours|others|children in the lane] laughed, and {their} [courage|heart] sank into {their} {footwear}.",
                    'The trouble was that everyone [laughed|snickered|giggled] at {them}. "[Nobody|No one] {from_here} can {skill}," they said, and {N} [believed|almost believed] them.',
                    "But [the very first time|the day] {N} tried it by the {spot}, [a crowd|half the town|a row of boys] [gathered|came running|stood there] and laughed until the [windows|lamps|pigeons] shook.",
                ),
                (
                    '{meet} "They laugh because they [never dared|are afraid to try|cannot do it]," said {H}. "[Practise|Try it|Begin] where [only|none but] the {watchers} [can see you|are watching|will laugh]."',
                    '{meet} "[I was laughed at too|They laughed at me once]," {H} said, "so I practised [at night|at dawn|alone], with the {watchers} for [company|an audience]."',
                ),
                (
                    "So {N} practised [before sunrise|after dark|in secret] behind the {spot}, and [nobody but|none but|only] the {watchers} [watched|looked on|saw it]. {passing} {they} could {skill} a little, and then [a little more|rather well|better than anyone].",
                    "From then on, {N} went each [night|morning] to the {spot}, where only the {watchers} [looked on|were awake|could laugh], and tried, and [failed|fell|sighed], and tried again. {passing} it worked.",
                ),
            ),
            Knot(
                (
                    "But {N} was [in such a hurry|so eager|so impatient] that {they} [tripped|got muddled|lost patience] at the first step, every [single|blessed] time.",
                    "The trouble was that {N} wanted to do it all at once, and [all at once|so] everything went [wrong|sideways|to pieces] by the {spot}.",
                    "{They} [tried|attempted] it by the {spot} and [fell flat|failed]. {They} tried [it again|once more] by the {spot2} and [fell flatter|failed worse|got stuck].",
                ),
                (
                    '{meet} "You [begin|started] at the [end|top|wrong end]," said {H}. "[Begin with|Try|Take] something as small as {a smallthing}, and [do it slowly|be patient|take your time]."',
                    '{meet} {H} [watched for a while|shook {htheir} head] and said, "[Nobody|No one] [swallows|lifts|eats] a whole {bigthing}. [Take|Eat|Chew] one [crumb|bite|spoonful] [a day|at a time|and rest]."',
                ),
                (
                    "So {N} did one small thing [each day|every morning], no bigger than {a smallthing}. {passing} the small things [joined hands|added up|grew together], and {N} [found|saw|knew] that {they} could {skill}.",
                    "{N} slowed down. [On the first day|On Monday|First] {they} learned something [as small as|no larger than|the size of] {a smallthing}, [on the next day|on Tuesday|then] a bit more, and {passing_low} {they} could {skill} [at last|after all].",
                ),
            ),
        ),
        (
            "[That evening|On the next holiday], {N} showed everyone by the {spot2}, and {H} clapped the loudest. To {skill} was [sweet|grand|lovely], {N} [found|thought|said], but [to have|it was sweeter to have|best of all was] a friend who [believed in|trusted|cheered for] {them}.",
            "And so {N} learned to {skill}. [If anyone asked|When people asked] how it was done, {they} smiled and spoke of {H} and {a smallthing2}.",
            "{N} could {skill} for the rest of {their} days, and [{they} never|not once did {they}|never again did {they}] laugh at [a beginner|anyone who was learning]. {H} had [taught|shown] {them} that, [too|as well|without a word].",
        ),
    ),
    Plot(
        "lost",
        {"thing": LOST_THINGS},
        "find the lost {thing}",
        (
            "One {dayadj} morning, {N} [discovered|noticed|saw] that {their} {thing} was gone, and all {they} wanted was to find it.",
            "But {their} {thing} had [disappeared|been lost|gone missing] on {a dayadj} day, and {N} wished with all {their} heart to find it again.",
            "More than anything, {N} wanted to find the {thing} that {they} had lost [by the {spot}|behind the {spot}|on the way home].",
            "{N} had lost {their} {thing}, and [without it|since then] no [day|supper|song] was quite right. {They} wanted nothing but to find it.",
        ),
        (
            Knot(
                (
                    "{They} [looked|searched] by the {spot} and under the {spot2}, but [soon it grew dark|the fog came down], and {N} [could not see|lost sight of|could hardly find] {their} own {limb}.",
                    "But it had [fallen|slipped] into the dark under the {spot}, and no [candle|lamp] would [stay lit|burn|last] there, because of the wind.",
                    "The trouble was the dark. The {thing} lay somewhere behind the {spot}, where no [light|lamp|sunbeam] had [been|shone|come] since [last winter|anyone could remember].",
                ),
                (
                    '{meet} "[Eyes are not|Looking is not|Light is not] the only way to [look|find things|see]," said {H}. "[Sit still|Sit down|Hush] and [listen to|watch|wait for] the {watchers}."',
                    '{meet} "[Wait|Be patient]," said {H}. "[Dark is only light|The dark is just a light|Night is only a day] that [sleeps|shut its eyes|is resting]. The {watchers} [will show you|know the way|have keener eyes]."',
                ),
                (
                    "So {N} sat down and [waited|listened] until the {watchers} stirred. There, [not three steps away|close by|just behind the {spot2}], [something gleamed|something glittered|a thing shone]. [It was the {thing}!|The {thing}!|And it was the {thing}.]",
                    "{N} [held {their} breath|kept quite still|hardly breathed]. {passing} the {watchers} gathered over one [small|dusty|mossy] place by the {spot2}, and there lay the {thing}.",
                ),
            ),
            Knot(
                (
                    "{They} asked [everyone|each neighbour], and learned that a [magpie|jackdaw|crow] had [carried|dragged|taken] it to its nest above the {spot}, [much too high|far too high|out of reach] for {them}.",
                    "{They} found it soon enough, but a [cross|grumpy] goose sat on it beside the {spot} and [would not move|hissed and would not budge|refused to get up] for [anyone|bread nor song].",
                    "But the {thing} now hung in the window of a [dusty|crooked] shop by the {spot}, and the [shopkeeper|owner|price tag] asked [a price|a sum|more gold] that {N} [could never pay|would never have|had never even seen].",
                ),
                (
                    '{meet} "Whoever [keeps a thing|holds on so tightly|sits on a treasure] wants [something else|some other thing|a different thing]," said {H}. "Offer {a smallthing}, and [ask politely|say please|ask twice]."',
                    '{meet} "Nobody guards a thing who is not [lonely|a little sad]," {H} said. "[Have you tried|Why not try|How about] {a smallthing} and a [kind word|friendly face|good story]?"',
                ),
                (
                    "So {N} brought {a smallthing}, said good morning, and asked. There was a [long|deep|short] silence by the {spot}, and then, [very gently|with a sigh|without a word], the {thing} was [put|laid|dropped] into {their} {limb}.",
                    "{N} came back with {a smallthing} and stayed to talk until [the stars came out|the lamps were lit]. When {they} [got up|rose|wanted] to go, the {thing} [was lying at {their} feet|lay beside {them}|was in {their} bag].",
                ),
            ),
        ),
        (
            "{N} carried the {thing} home [through the {spot}|under {their} coat] and [set it on|put it on] the windowsill. [Each time|Whenever|As often as] {they} looked at it, {they} [remembered|thought of|heard again] what {H} had said.",
            "That night the {thing} was [back in its place|home again|under {their} pillow], and {H} was [invited|asked] to [supper|tea|breakfast]. {N} never [lost it|let it out of sight] again, but {they} [often|sometimes] [went out to look|set a place] for {H}.",
            "Since that day, {N} has kept the {thing} [beside the bed|on a shelf|close to {their} heart]. It was [good|fine|nice] to [have found it|have it back|see it there], and [better|even better|finer still] to have [found|met|known] {H} on the way.",
        ),
    ),
    Plot(
        "journey",
        {"far": FAR_PLACES},
        "see {far}",
        (
            "More than anything, {N} wanted to see {far}, which {they} knew only from [a picture|an old song|a book|sailors' tales].",
            "{N} had never been farther than the {spot}, and yet {they} longed to see {far} [just once|before winter|with {their} own eyes].",
            "Each [evening|morning] {N} looked out over the {spot} and wished to see {far}.",
            "But [deep down|in {their} heart], {N} had a wish: to see {far}, even if it took [a year|a hundred days|{their} whole life].",
        ),
        (
            Knot(
                (
                    "So one {dayadj} day {they} set out, with {a smallthing} in {their} bag, but at the {spot2} the road was [washed away|under water], and the river [roared|rose|foamed].",
                    "{They} had not gone far when a [wide|brown|deep] river [lay across|cut|crossed] the way, and the bridge had been [broken|swept away] in the {dayadj} spring.",
                    "But between {N} and {far} lay a river that [no boat dared|nobody had ever crossed], brown and quick and [very|terribly] loud.",
                ),
                (
                    '{meet} {Hthey} had a boat, [but no oars|but it leaked]. "If you [mend it|bail] and I steer," said {H}, "we may both get across."',
                    '{meet} "The river sleeps [at dawn|in the hour before sunrise]," said {H}. "[Walk then|Go then|Cross then], from [stone to stone|rock to rock|log to log], and [do not look down|count to forty|do not stop]."',
                ),
                (
                    "They set off [at dawn|before the birds woke]. The water [hissed|tugged] and the {watchers} circled, but {N} [did {their} part|kept on|held tight], and [on the other side|over there|beyond it] the road [went on and on|climbed|ran on] until [there it was|it ended at|it came to] {far}.",
                    "{N} did [just as|exactly as] {H} had said. {passing} the river was behind {them}, and before {them}, brighter than [in any song|a dream], lay {far}.",
                ),
            ),
            Knot(
                (
                    "But the way was long, and on the third day {a dayadj} storm [blew|tore|snatched] the map [out of|from] {their} {limb}, and {N} was lost [among the hills|behind the {spot2}].",
                    "{They} packed {a smallthing} and left at sunrise, but by evening a fog had swallowed the path, and every [tree|stone|signpost] looked the same.",
                    "The trouble was that nobody knew the way. One [pointed|sent {them}] left of the {spot2}, [another|the next] pointed right, and the [third|last] only [laughed|shrugged|yawned].",
                ),
                (
                    '{meet} "I don\'t need a map," said {H}. "I follow the {watchers}, who go there [every autumn|each night]. Come along."',
                    '{meet} "Tie {a smallthing} to [a thread|your belt] and go where it points," said {H}. "[The wind comes|It blows|Every wind comes] from there, and [the wind never lies|it never lies|the wind should know]."',
                ),
                (
                    "So they walked together, [over hills|through reeds] and past the {spot2}, until one {dayadj} evening {N} [looked up|turned a corner|rubbed {their} eyes] and [forgot to breathe|stood quite still|dropped everything]. [It was|There lay|Before them was] {far}.",
                    "{N} [trusted|believed] {H} and went on, one step and then the next. {passing} the fog [tore open|lifted|parted] like [a curtain|a lid|smoke], and behind it [was|lay|shone] {far}.",
                ),
            ),
        ),
        (
            "{N} stayed until the [stars|lamps] went out. Then {they} went home and [told everyone|talked for days|wrote a song] about {far}, and about {H}, without whom {they} would [never have arrived|have turned back|still be lost].",
            '{Far} was [bigger|quieter|stranger] than {N} had thought. "[Was it worth it|Are you content|Is it as you dreamed]?" asked {H}. {N} [nodded|only smiled|pressed {hthem} close], because [there was no word large enough|all {their} words were too small|it was too lovely for words].',
            "Years later, {N} still kept {a smallthing2} from that journey in a jar. On {dayadj} days {they} opened it, and [there was|out came|{they} saw] {far} again, and [heard the voice|the voice|the laugh] of {H}.",
        ),
    ),
    Plot(
        "making",
        {"making": MAKINGS},
        "build {a making}",
        (
            "More than anything, {N} wanted to make {a making}, the finest one that [anyone had seen|the {spot} had ever seen].",
            "{N} had [a plan|an idea|a dream]: {they} would build {a making} with {their} own {limb}.",
            "All [winter|spring|summer] long, {N} wished for {a making}, and as nobody would [give|sell|lend] {them} one, {they} [decided|set out|began] to make it.",
            "One {dayadj} day {N} made up {their} mind to make {a making} [for the whole street|for {their} mother's birthday|big enough for two].",
        ),
        (
            Knot(
                (
                    "{They} [worked|hammered and measured] from morning to night, but the {making} [fell apart|broke in two] as soon as a {watcher} sat on it.",
                    "But the first {making} [broke|came apart], and the second [broke|sank|caught fire], and the third [looked|sounded|smelled] like {a bigthing} after a storm.",
                    "The {making} was nearly done when {a dayadj} wind came over the {spot} and [scattered|broke] it into a hundred pieces.",
                ),
                (
                    '{meet} {Hthey} [picked up|turned over|looked through] the pieces [one by one|in turn|with care]. "Good," said {H}. "Now you [know|have found] [a hundred|three|nine] ways that [do not work|are wrong|lead nowhere]. What did the pieces [teach you|tell you|say]?"',
                    '{meet} "It was too [stiff|proud]," said {H}. "[A thing|A good thing|Everything] must [bend|give] a little, like {a bendy}, or [it breaks|it will break|it snaps]."',
                ),
                (
                    "So {N} looked at the pieces [for a long time|all night], and began again, with [fewer nails|less hurry|fewer words] and [more patience|a lighter hand|better knots]. This time the {making} [creaked|groaned|bent] and swayed, like {a bendy}, and [held|did not break|stayed whole].",
                    "{N} started over by the {spot2}, and left [a little room|some air|a little give] in [every joint|all the corners|each seam]. {passing} the {making} stood there, and not even the {dayadj} wind could hurt it.",
                ),
            ),
            Knot(
                (
                    "But for {a making} one needs [good stuff|many things], and {N} had only {a smallthing}, a [ball of string|bent nail|good idea] and no money [at all|whatsoever].",
                    "The trouble was that the [shop|market] by the {spot} had nothing left to sell but {a smallthing} and some [rusty|bent] nails.",
                    "{They} began at once, but halfway through there was nothing left, not a [scrap|crumb|thread], and the {making} stood unfinished by the {spot}.",
                ),
                (
                    '{meet} "Ask the {spot2}," said {H}. "People [throw away|leave|forget] [wonders|half the world|treasures] there, and [all of it|each of them|every bit] wants to be [something again|useful|found]."',
                    '{meet} "I have {a smallthing2} that I never use," said {H}. "[And every|Every|Surely each] house has [one such thing|something like it|the same]. [Knock and ask|Go and knock|Just ask]."',
                ),
                (
                    "So {N} went from door to door, and came home with {a smallthing2}, half a [ladder|curtain|barrel|piano] and [a great many good wishes|plenty of advice|a bag of old hats]. Out of all that, {they} [made|built|put together] the {making}.",
                    "{N} gathered what others had [forgotten|thrown away] near the {spot2}, and [sewed|sawed|tied] and [glued|hammered|patched] and [whistled|sang|hoped]. {passing} it was {a making}, and everyone [found|saw|knew] [a bit of their own|something of theirs|a piece of home] in it.",
                ),
            ),
        ),
        (
            "The {making} was [a little crooked|rather odd|never quite straight], and [everybody|the whole street] [loved|praised] it. [On its side|Underneath|Inside it] {N} [wrote|painted|carved] two names [in small letters|in blue|very small], {N} and {H}.",
            'When it was finished, {H} was the [first|very first] to [try|test|admire] the {making}. "It is [not perfect|a bit crooked|rather odd]," said {N}. "[No|Yes|Well]," said {H}, "[it|but it] is yours, and that is [better|all that counts|enough]."',
            "To this day the {making} can be seen by the {spot}, and {N} [tells|reminds|assures] [anyone who asks|everyone who stops|all who pass] that it was {H} who [saved it|showed {them} how].",
        ),
    ),
)
