"""Plots about what is not known: a fear, a thing found, a sound at night."""

# ruff: noqa: E501 - prose: one text a line

from __future__ import annotations

from backend.storyteller.plot import Knot, Plot
from backend.storyteller.themes import FEARS, FOUND_THINGS, SOUND_SPOTS, SOUNDS

RIDDLES = (
    Plot(
        "fear",
        {"fear": FEARS},
        "stop being afraid of {fear}",
        (
            "But {N} was afraid of {fear}, and [wished for|wanted] nothing so much as to [be rid of it|be brave|laugh at it].",
            "There was just one thing: {N} feared {fear}, and {they} wanted [so much|badly] not to be afraid any more.",
            "More than anything, {N} wanted to stop being afraid of {fear}, for the fear had [grown|become] as [big|heavy|round] as {a bigthing}.",
            "All {their} life {N} had been afraid of {fear}, and {they} longed to be brave, [just once|at least on Sundays].",
        ),
        (
            Knot(
                (
                    "One {dayadj} night {they} heard a small voice calling for help from behind the {spot}, and the [only|one] way [there|to it] led [straight through|right into] [what {they} feared|{their} fear].",
                    "Then, on {a dayadj} evening, {a smallthing} that {they} [loved|treasured] [rolled away|blew off|was carried off] past the {spot}, [just|right] where {N} [never dared|did not dare] to go.",
                    "{They} [tried singing|shut {their} eyes|counted sheep], but each time {they} came [near|close], {their} {limb} [shook|went cold] and {they} [ran|hurried|flew] home past the {spot}.",
                ),
                (
                    '{meet} "I am afraid [as well|too]," said {H}. "But [two afraid ones|two cowards|you and I], hand in hand, [make about|make|add up to] [one brave one|one hero|a lion]."',
                    '{meet} "[Bring your fear along|Do not leave your fear at home|Take your fear for a walk]," said {H}. "It [only|just] wants [to be asked|to hear a story|some company]. [Give it a name|Call it by name|Be kind to it], and give it {a smallthing2} to hold."',
                ),
                (
                    "So they [went|walked|set out] together, step by step, [humming|singing|counting] [a bit too fast|loudly|softly]. The {watchers} looked at them, and [beyond|past|behind] the {spot2} there was [nothing terrible|no monster|nothing with teeth], only the [night|moon|wind], and it was [rather|quite] [pretty|friendly].",
                    "{N} took a breath as deep as {a bigthing} and went. The fear [went too|came along|trotted behind], but with [every|each] step it [got smaller|shrank a little|grew thinner], until it would have [fitted|slept] under {a smallthing2}.",
                ),
            ),
        ),
        (
            "{N} is still a little afraid of {fear}, on {dayadj} days. But then {they} thinks of {H}, and [hums|smiles|counts to two], and goes [anyway|all the same].",
            "After that, {N} and {H} went out every week to visit {fear}, as one visits an [old aunt|odd uncle]. It was never as [big|cold|loud] [again|as before].",
            '"Are you still afraid of {fear}?" asked {H}. "Yes," said {N}, "but [now it is only|it is no more than|it has become] as big as {a smallthing2}, and I [carry it|keep it] in my [pocket|hat]."',
        ),
    ),
    Plot(
        "found",
        {"found": FOUND_THINGS},
        "bring {a found} home",
        (
            "One {dayadj} morning, {N} found {a found} by the {spot}, and all {they} wanted was to [bring it back|take it|carry it home] to [where it belonged|its owner|its own place].",
            "Then, [beside|behind] the {spot}, {N} came upon {a found}, [cold and alone|half covered by leaves], and wished to know whose it was.",
            'It began when {N} found {a found} by the {spot}. "[Somebody|Someone] must be missing it," {they} thought, and decided to bring it home.',
            "{N} had found {a found} on the road, and though {they} could have kept it, {they} wanted to return it.",
        ),
        (
            Knot(
                (
                    "{They} asked at every door, but nobody by the {spot2} had ever [seen|lost] [such a thing|anything like it], and [one of them|an old man|the butcher] tried to [buy|steal] it.",
                    "But whom does {a found} belong to? The [baker|barber] did not know, the [mayor|priest|judge] [did not know|had no time], and the {watchers} [would not say|kept silent].",
                    "{They} put up a notice at the {spot2}, and by [noon|evening] [eleven|six|forty] people had come, and [every one|each] of them was [lying|fibbing].",
                ),
                (
                    '{meet} "[Do not ask|Never mind|Forget] who wants it," said {H}. "[Ask|Find out] who has been [sad|quiet|restless] since [Tuesday|Sunday|the spring]."',
                    '{meet} {Hthey} did not [reach for|look at|grab] the {found}, but [only|just] asked, "Is it [warm enough|all right|safe]?" And {N} [knew|saw] that this was [the one|the owner].',
                ),
                (
                    "{N} [put|laid|placed] the {found} into {htheir} [arms|lap]. {H} [could not speak|wept a little], for {hthey} had [looked for|missed|dreamed of] it since the {dayadj} winter, from the {spot} to the sea.",
                    "So {N} went [quietly|slowly] along the lanes with {H} and listened, until behind the {spot} someone sighed. The {found} was [given back|home at last|where it belonged], and the [sigh became|sigh turned into] [a laugh|a song].",
                ),
            ),
            Knot(
                (
                    "But it belonged [far away|high up], above the {spot2}, where no road went, and the {dayadj} night was [coming|near|falling].",
                    "The {found} began to [shiver|glow|hum], and it pointed up, past the {spot2}, where {N} could never climb.",
                    "But each time {N} set out, the {dayadj} wind turned {them} around, and {they} stood by the {spot} again.",
                ),
                (
                    '{meet} "I know [where that comes from|that thing]," said {H}, "and I know the [stairs|ladder|way]. But that is only for those who [carry something|do something] for [another|someone else]."',
                    '{meet} "[Climb on my back|Sit on my shoulders|Hold my hand]," said {H}, "[and later we change|I am stronger than I look|we will take turns]. I have [nothing to do|no plans|time] until [breakfast|Thursday]."',
                ),
                (
                    "Up they went, past the {watchers}, past the [last lamp|clouds|tallest roof], until the {spot2} [was|looked] no bigger than {a smallthing}. There the {found} [gave a leap|gave a sigh|lit up], and was home.",
                    "They [climbed|walked|travelled] all night, and [took turns carrying|carried by turns] the {found}. When the sun rose over the {spot}, a [door|window] opened, and someone [cried|sang|danced] for joy.",
                ),
            ),
        ),
        (
            "{N} came home with [empty|cold|tired] {limb} and a [full|light|warm] heart. And [sometimes|now and then|on holidays], when {H} comes by, they find {a smallthing2} on the [doorstep|roof|windowsill], and [do not wonder|can guess|know] who left it.",
            "There was no reward but {a smallthing2} and a friend called {H}. {N} [thought|found|felt] that this was [plenty|more than enough|a good price] for {a found}.",
            "Nobody else ever heard of it. But {N} knew, and {H} knew, and somewhere the {found} was [where it should be|at home|fast asleep].",
        ),
    ),
    Plot(
        "mystery",
        {"sound": SOUNDS, "where": SOUND_SPOTS},
        "find out what was {sound} {where}",
        (
            "Each night there was {a sound} {where}, and {N} wanted to know [what it was|who made it].",
            "But one {dayadj} night {N} heard {a sound} {where}, and [from then on|that night] {they} had [only|just] one wish, to [find out|learn|know] [what it was|who it was].",
            "More than anything, {N} wanted to find out who was {sound} {where}, always [at midnight|at four in the morning|after supper], and never on [Mondays|Sundays|holidays].",
            "Something was {sound} {where}. Everyone [pretended not to hear it|hid under a pillow|looked the other way], but {N} wished to [know|find out].",
        ),
        (
            Knot(
                (
                    "{They} crept out with {a smallthing} and a candle, but [as soon as|when] {they} [came close|got near], the {sound} [stopped|ended], and there was [only|nothing but] the {dayadj} wind.",
                    "But whenever {N} [ran|hurried] to look, it fell silent, as if it were [shy|holding its breath].",
                    "{They} set a trap with {a smallthing}, but [in the morning|at sunrise] it was [gone|empty], and [in its place|on top of it|next to it] lay {a smallthing2}.",
                ),
                (
                    "So {N} stopped chasing it. {They} sat down {where}, left {a smallthing2} [on the ground|on a stone|within reach], and began to [hum|whistle|read aloud]. Out of the dark [came|stepped|crept] {a helper} named {H}.",
                    'On the seventh night {N} did not [creep|hide], but called, "I have [soup|cake|a blanket], and you [need not be afraid|may come out|are welcome]." After a while {a helper} named {H} [stepped into the light|came out|peeped around the corner].',
                ),
                (
                    '"I have nobody [to talk to|in the world|my own age]," said {H}, "so I [make my noise|do this every night|keep at it] and [hope that somebody answers|wait for an answer|pretend]." "[Then I will answer|Now you have me|You can talk to me]," said {N}, and they [did it together|kept at it|went on as a pair] until the {watchers} woke.',
                    '"It was only me," said {H}. "I am [practising|rehearsing|warming up], but [nobody must know|not a soul may hear|I am so shy]." {N} [laughed|smiled] and asked to learn it too.',
                ),
            ),
        ),
        (
            '[Now|These days] there are two of them, {where}, at [midnight|night]. People [turn in their beds|open one eye|smile] and [say|mumble|think], "It is [only|just] {N} and {H}," and sleep [well|like stones].',
            "{N} never told anyone who was {sound} {where}. But {they} goes there [each Friday|on {dayadj} nights] with [soup|cake|tea] for {H}, and two [spoons|candles|stools].",
            "So the riddle was [solved|no riddle any more], and {N} had [found|got] more than [an answer|{they} had looked for]. The {sound} {where} is [still heard|heard] [today|to this day|at night], but [now it sounds|it has become] [glad|merry], for {H} is [no longer|not] alone.",
        ),
    ),
)
