"""Plots about others: a friend, something to mend, a contest."""

# ruff: noqa: E501 - prose: one text a line

from __future__ import annotations

from backend.storyteller.plot import Knot, Plot
from backend.storyteller.themes import AILING, CONTESTS

COMPANY = (
    Plot(
        "friend",
        {
            "quiet": [
                "a friend",
                "someone to talk to",
                "company",
                "a best friend",
                "somebody to share supper with",
                "a playmate",
            ]
        },
        "find {quiet}",
        (
            "{N} had [almost everything|a warm bed and plenty of soup], but what {they} wanted most was {quiet}.",
            "But the evenings were [long|quiet|too quiet], and {N} wished for {quiet}.",
            "More than anything, {N} wanted to find {quiet}, for even {their} [own shadow|shadow|cat] [left {them}|said good night|turned back] at the {spot} each night.",
            "{N} set two [cups|plates|chairs] [on the table|by the stove|by the window] every evening, because {they} [wished so much|was longing|hoped] for {quiet}.",
        ),
        (
            Knot(
                (
                    "But {N} was so shy that {they} hid behind the {spot} whenever anyone [came by|said hello], and nobody knew {they} was there.",
                    "The trouble was that no word would come out. [As soon as|Whenever|If] someone [smiled|waved|bowed] at {them} by the {spot}, {N} turned as red as {a redthing} and [ran|hid|fled home].",
                    "{They} went to the {spot} to say hello, but {their} voice was smaller than {a smallthing}, and everyone walked past.",
                ),
                (
                    "One {dayadj} evening, [someone was crying|there was a sob|a small voice wept] behind the {spot2}. It was {a helper} named {H}, who had lost [the way home|the right road|a shoe] and was [even shyer than|just as shy as|twice as shy as] {N}.",
                    "Then one {dayadj} night there was a knock, [so soft that|softly, as if|so light that] it [might have been|was only|was just] {a smallthing} falling. On the step stood {a helper} named {H}, [wet through|cold|lost] and too [shy|tired|polite] to ask.",
                ),
                (
                    '{N} forgot to be afraid. {They} put {a snack} into {htheir} [lap|pocket], lit the lamp and [said|whispered], "You can [stay here|sleep here|stay with me] until [morning|spring|you are warm]." They [talked|sat up|played cards] until the {watchers} woke.',
                    "Without a word, {N} [filled the second cup|moved over|pulled up a chair]. They sat by the [fire|window] and listened to the {watchers}, and little by little the words [came|came out|were there], first [one|two|a few], then [ten|more|a dozen], then all of them.",
                ),
            ),
            Knot(
                (
                    "But {N} lived so far from everyone that only the {watchers} [came by|knew the way|called], and they never [stayed for tea|stayed long|said much].",
                    "{They} hung up a sign by the {spot}, but the {dayadj} rain [washed off|smeared|took] the letters, and [nobody|not a soul] came.",
                    "{They} baked {a snack} for each of the neighbours, but on that {dayadj} day a storm [closed|blocked|drowned] the road by the {spot}.",
                ),
                (
                    'Then, through the {dayadj} weather, came {a helper} named {H}, who had [seen the light|smelled the soup] from far away. "I am not expected," said {H}, "but I have {a snack} to share."',
                    'That very night, a cart [broke its wheel|tipped over|lost its horse] near the {spot2}, and out [climbed|crept|fell] {a helper} named {H}. "[What luck|How strange]," said {H}. "I was [looking for|hoping for|in search of] [a friend|company|someone] as well."',
                ),
                (
                    "{N} [opened the door|threw the door open|flung the door] so wide that the {watchers} [could have come in|almost came in|might have come], too. They shared {a snack} and [every story|every song|all the jokes] they knew, and outside it [snowed|rained|stormed] and [did not matter|nobody minded|they never noticed].",
                    "They [mended|repaired] what was broken, and [when that was done|then|after that], they broke {a snack} in half and [ate it slowly|ate it in tiny bites|chewed for a long time], so that the evening would [last|not end|be longer].",
                ),
            ),
        ),
        (
            "In the morning {H} did not [go|leave|say goodbye], nor the [next day|next week|day after], nor [the next|ever]. {N} had wished for {quiet}, and now there were two [cups|coats|pairs of shoes] by the {spot}, and both were [warm|in use|a little worn].",
            "From that day on, {N} and {H} were seen together at the {spot} in all weathers. And if someone [shy|lonely|new] comes by, they [put out|fill|fetch] a third [cup|plate|chair].",
            '{H} stayed until spring, and then [for ever|for good]. "I had wished for {quiet}," said {N}, "but I [did not know|never guessed|had no idea] it would be [you|so much fun|like this]."',
        ),
    ),
    Plot(
        "mending",
        {"ailing": AILING},
        "save the old {ailing}",
        (
            "But the {ailing} by the {spot} was [failing|fading|very sick], and {N} wanted nothing more than to save it.",
            "One {dayadj} morning the {ailing} near the {spot} stopped, as if it had [given up|fallen asleep], and {N} promised to mend it.",
            "Everybody said that the old {ailing} was finished, but {N} wished to bring it back to life.",
            "More than anything, {N} wanted to save the {ailing}, which had [cheered|fed|known] {them} since {they} was small.",
        ),
        (
            Knot(
                (
                    "{They} tried [water|oil|medicine] and {they} tried [songs|prayers|tickling], {they} even tried {a smallthing}, but the {ailing} only [sighed|trembled] and grew worse.",
                    "But [whatever {N} did|no matter what {N} tried], it was [no use|in vain]. On the {dayadj} days the {ailing} [shivered|groaned], and on [the others|all other days] it was [silent|still].",
                    "{N} asked the [mayor|wisest heads], who [spoke for three hours|argued all day|shook their heads] by the {spot2} and [knew nothing at all|had no idea|could say nothing] about {a ailing}.",
                ),
                (
                    '{meet} "You have [asked|begged] [everyone|all the world] but the {ailing}," said {H}. "[Lay your ear against it|Sit down beside it|Put your hand on it], and [wait|be quiet|listen]."',
                    '{meet} {H} walked around it [twice|three times]. "It is not [sick|broken|old]," said {H}. "It is [sad|lonely|hurt]. When did anyone last [thank it|speak to it|sing to it]?"',
                ),
                (
                    "So {N} leaned against the {ailing} and listened [all night|until dawn], and told it [all the good|every good thing|the many things] that it had [done|given|meant]. {passing} something inside it [stirred|moved|answered], no louder than {a smallthing}.",
                    "{N} [felt ashamed|thought about it], and [fetched|called|woke] [the whole street|all the neighbours|the entire town]. [One after another|One by one|All together] they said [thank you|sorry|a kind word], and the {watchers} grew quiet. Then the {ailing} [gave a shake|gave a sigh|stretched], and [began again|woke up|came back to life].",
                ),
            ),
            Knot(
                (
                    "But something was stuck deep inside it, [too deep|much too far down] for {their} {limb}, and [nobody tall|no one thin|nobody else] had [time|the time|an idea].",
                    "The trouble sat below, where {a smallthing} had [jammed|blocked] it since the {dayadj} autumn, and no one could reach so far.",
                    "{They} dug and {they} pulled until {their} {limb} hurt, but under the {ailing} lay a [stone|root|lump of iron] as [big|heavy|round] as {a bigthing}.",
                ),
                (
                    '{meet} "You are strong, but I am [patient|thin]," said {H}. "You lift on the count of three, and I will [slip|crawl] under."',
                    '{meet} {Hthey} had a rope and a way with knots. "Alone it is [too heavy|too hard|too deep]," said {H}. "[Alone everything is too heavy|So is everything, alone|Together it is not]."',
                ),
                (
                    "They counted to [three|ten|five]. {N} [lifted|pushed], {H} pulled, the {watchers} [shrieked|cheered|scattered], and [out it came|it jumped out|it sprang loose] with a sound like {a bendy} in the wind. [A moment later|At that|In an instant] the {ailing} [woke|came alive|sighed with relief].",
                    "They pulled [together|and pushed|with all their might], and when [two|they] were not [enough|strong enough], the [baker|children|postman] came and pulled as well. {passing} it gave way, and the {ailing} was free.",
                ),
            ),
        ),
        (
            "That year the {ailing} was [finer|livelier] than [ever|before]. Each [spring|Sunday] {N} and {H} [sat|had tea|danced] beside it near the {spot}, and it [seemed|was heard] to hum.",
            "The old {ailing} is still there. {N} says [thank you|good morning|hello] to it [in passing|every day|on the way to work], as {H} does too, and so [should you|does everyone now].",
            '"You saved it," said {H}. "We did," said {N}. And the {ailing}, if one [listened well|was quiet|knew how to listen], said [something like it|much the same].',
        ),
    ),
    Plot(
        "contest",
        {"contest": CONTESTS},
        "win the {contest}",
        (
            "More than anything, {N} wanted to win the {contest}, which was held each year by the {spot}.",
            "That year {N} had made up {their} mind to win the {contest}, though {they} had always come [last|in at the very end].",
            "{N} dreamed of only one thing, the prize of the {contest}, which was {a smallthing} made of [silver|gold].",
            "When the {contest} was called out by the {spot}, {N} put down {their} name at once, for {they} wished so much to win.",
        ),
        (
            Knot(
                (
                    "But someone else was [faster|better|louder], {a helper} named {H}, who had won [seven|five|ten] [years|times] in a row and [never smiled|never lost|looked down on everyone].",
                    "The trouble was {a helper} named {H}, who had never lost anything and [told {N} so|said so|let {them} know it], [twice|loudly|daily], beside the {spot2}.",
                    "But {a helper} named {H} [was to take part|had put down a name|wanted the prize] as well, and [everybody knew that|they say that|in those days] {H} always won.",
                ),
                (
                    "On the {dayadj} day itself, {N} was [ahead|in front|winning] for [the first time|once|a moment], when {H} stumbled by the {spot2} and [cried out|could not get up]. The others [ran on|did not stop|saw nothing].",
                    "The {contest} began, and {N} [did better than ever|was wonderful|was in the lead]. [But halfway|Then|But suddenly], behind the {spot2}, sat {H}, pale and alone, with a [hurt|twisted] {limb1}.",
                ),
                (
                    "{N} [looked at|thought of] the prize, and {N} looked at {H}. Then {they} [went back|turned around|made up {their} mind], [gave {hthem} {their} arm|helped {hthem} up|took {hthem} along], and they came in [together|arm in arm|side by side], last of all, while the {watchers} [went wild|cheered|danced].",
                    "{They} stopped. It was [a hard thing to do|not easy|harder than running]. {They} bound it up with {their} [own scarf|ribbon|best sock], and [the two of them|they] [finished|ended] the {contest} side by side, as slow as {a slowthing}.",
                ),
            ),
            Knot(
                (
                    "{They} practised by the {spot2} until {their} {limb} ached, but the night before, {N} was so [nervous|afraid] that {they} forgot [everything|how to begin|{their} own name].",
                    "But as the {dayadj} day came nearer, {their} knees turned to [jelly|pudding], and {they} wanted to hide behind the {spot2}.",
                    "But all the others had new [shoes|ribbons|hats] and famous teachers, and {N} had nothing but {a smallthing} for luck.",
                ),
                (
                    '{meet} "Don\'t try to win," said {H}. "[Do it for one person only|Think of one person|Choose just one face]. [Do it for me|Look at me|Wave to me], I have [never seen|always missed] {a contest}."',
                    '{meet} "Look at the {watchers}," said {H}. "They [do not ask|never ask|do not care] who is [best|first|better]. They do it because [it is morning|it is fun|they like it]."',
                ),
                (
                    "So {N} stepped out, thought of what {H} had said, and began. The crowd by the {spot} [grew quiet|faded|hushed], the [knees|hands] [grew quiet|grew calm], and [for once|suddenly|this time] everything [went|felt|was] as light as {a smallthing}.",
                    "When the {dayadj} moment came, {N} looked for {H} in the crowd, found {hthem}, and smiled. [After that|And then|From there] it was as [easy|simple|natural] as [breathing|falling asleep].",
                ),
            ),
        ),
        (
            "Who won the {contest} [hardly anyone can tell|is long forgotten|I could not say]. But [everyone remembers|nobody forgot|people still speak of] {N} and {H}, who [laughed|danced|sang] so [much|hard|loudly] [afterwards|that night] that the [band|mayor|judge] joined in.",
            "There was {a snack} for {N} in the end, and {they} [broke|cut] it [in two|in half] and [gave one half|handed a piece] to {H}. It was [the best prize|the sweetest prize|the only prize worth having] of any {contest}.",
            "{N} had wanted to win, and in a way {they} did. Every year since then, {they} and {H} have gone to the {contest} together, and shared [a bench|a bag of plums].",
        ),
    ),
)
