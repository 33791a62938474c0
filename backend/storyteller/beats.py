"""The beats that every story has, whatever its plot: opening, habit, farewell; and the beats of a sequel."""

# ruff: noqa: E501, SIM905 - prose: one text a line

from __future__ import annotations

OPENINGS = (
    "Once upon a time there was {a kind} named {N}, who lived in {place}.",
    "Once upon a time, in {place}, there lived {a mkind} named {N}.",
    "Once upon a time there lived {a mkind} whose name was {N}. {They} had {their} home in {place}.",
    "Once upon a time, {a mkind} called {N} lived [happily|quietly|all alone] in {place}.",
    "Once there was {a mkind} called {N}. {They} lived in {place}.",
    "There was once {a mkind} named {N}, and {they} lived in {place}.",
    "There was {a kind} named {N} who lived in {place}.",
    "In {place} lived {a mkind} named {N}.",
    "In {place} there lived {a mkind} by the name of {N}.",
    "Long ago, in {place}, lived {a kind} whose name was {N}.",
    "A long time ago there lived {a mkind} called {N} in {place}.",
    "{N} was {a mkind} who lived in {place}.",
    "{N} was {a mkind}. {They} lived in {place}.",
    "{N} the {kind} lived in {place}.",
    "{N}, {a mkind}, lived in {place}.",
    "Far away, in {place}, {a mkind} named {N} had {their} home.",
    "Not so long ago, {a mkind} named {N} came to live in {place}.",
    "This is the story of {N}, {a mkind} from {place}.",
    "{A mkind} named {N} lived in {place}.",
    "My [grandmother|uncle|neighbour] used to tell of {a mkind} named {N}, who lived in {place}.",
    "[Everyone|Hardly anyone] knew {N}, the {kind} who lived in {place}.",
)
SCENES = (
    "[It was raining|It was snowing|The sun was low|The moon was up] when {N} [came home|left the house|opened the door].",
    "{N} [looked|leaned] out of the window and [saw|heard] {a smallthing} fall.",
    "One [morning|night], {N} woke up [early|late] and could not [sleep|find {their} shoes].",
    "On [Monday|Friday|{their} birthday], {N} [went|walked] to the {spot}.",
    "{N} opened the [box|letter|old door] and found {a smallthing} inside.",
    '"[Where|What] is that?" [asked|said] {N}, and pointed at the {spot}.',
    "{N} [loved|liked|hated] {a smallthing2} more than anything.",
    "The [train|boat|bus] was late, and {N} [waited|sat] on {a bigthing}.",
    "Nobody [knew|believed] that {N} had {a smallthing} in {their} pocket.",
    "[Yesterday|Last night|One day] {N} met {a watcher} by the {spot}.",
    "It was a [dark|cold|quiet|warm] night, and {N} was [alone|awake|hungry|walking home].",
    "{N} and {their} [brother|sister|mother|cat] were [baking|walking|sitting] by the {spot}.",
    "When {N} was [small|seven|young], {they} lived near {a spot}.",
)
INTRODUCTIONS = (
    "{N} was {a mkind} from {place}.",
    "{They} was {a mkind}, and {they} lived in {place}.",
    "{N}, you should know, was {a mkind} and lived in {place}.",
    "{They} was the [only|best|youngest] {kind} in {place0}.",
)
HABITS = (
    "{They} [always|often] carried {a smallthing} in {their} pocket, for luck.",
    "{They} had {a smallthing} for [each day of the week|weekdays|rainy mornings], and {a smallthing2} for [Sundays|birthdays|guests].",
    "Every [morning|evening] {they} said good day to the {spot}, and to the {watchers} as well.",
    "{They} knew all the {watchers} by name and was never late for [supper|tea].",
    "When {they} was thinking, {they} [hummed|whistled|tapped on the table], and the {watchers} hummed along.",
    "{They} [mended|collected|counted] old [kettles|keys|buttons|clocks], and on {dayadj} days {they} told them stories.",
    "{They} was known for [two|three] things: a [loud|warm|crooked] laugh and a very good {bigthing0} soup.",
    "On {dayadj} days {they} [sat|slept|sang] by the {spot}, and on [the others|all other days] {they} [sat beside it|thought about it|walked around it].",
    "[People said|It was said] that {N} could [smell|feel|hear] {a dayadj} day [before it came|a week ahead|in {their} toes].",
    "{Their} house was so [small|crooked|full] that even {a smallthing} had to wait outside.",
    "{N} [worked hard|got up early|sang a lot], [slept well|ate little|laughed easily] and gave half of every {snack} to the {watchers}.",
    "The {watchers} [liked|adored|followed] {them}, because {they} never [forgot|ate|dropped] the {snack}.",
    "{They} owned nothing but {a smallthing}, {a smallthing2} and a [patched|yellow|very long] coat.",
    "{N} had once won {a smallthing} at the {spot}, and still spoke of it.",
)
FAREWELLS = (
    "",
    "",
    "",
    "",
    "And if you [listen|look] closely on {a dayadj} night, you can [hear|see] it still.",
    "And that is how it was.",
    "And the {watchers} [know|say|swear] that [every word of it|all of it|this] is [true|quite true].",
    "The end.",
    "And they all [slept well|had soup] that night.",
    "And if the {spot} is still standing, so is this story.",
    "[Good night|Sleep well], said the {watchers}, and the story was over.",
)
SEQUELS = (
    (
        "The next [morning|spring|winter], {N} woke up and found {a smallthing} on the windowsill.",
        "After that, it was quiet for [a week|a month], until {a dayadj} day came and {N} heard a knock.",
        "Well, [the next day|a year later], {N} was standing by the {spot} when the {watchers} began to make a noise.",
        "[Some time later|Not long after], {N} went back to the {spot}, with {a smallthing} in {their} bag.",
    ),
    (
        "It was {H}, who had [come|walked] all the way with {a smallthing2} and news.",
        "There stood {H}, out of breath and covered with [snow|flour|feathers].",
        "{H} was there already, and {hthey} [looked worried|was smiling].",
    ),
    (
        '"The {spot2} is [flooded|closed|on fire]," said {H}, "and the {watchers} have nowhere to go."',
        '"I have to leave [tomorrow|on Sunday]," said {H}, "and I do not like to go without {a smallthing3}."',
        '"You helped me once," said {H}. "Now someone at the {spot2} needs us both."',
        '"I have found {a bigthing}," said {H}, "and I cannot carry it home alone."',
    ),
    (
        "{N} did not ask long. {They} put on {their} coat, took {a smallthing3}, and off they went.",
        '"Then let us go," said {N}, and they went, through {a dayadj2} night and past the {spot3}.',
        "{N} thought about it for as long as it takes to eat {a snack}. Then {they} had an idea.",
    ),
    (
        "It took them [all day|three days], and when it was done, they sat down under the {dayadj} sky and shared {a snack}.",
        "By evening everything was in order, the {watchers} were asleep, and {N} and {H} laughed until it hurt.",
        "What they did there is [a long tale|another story], but from then on there was always a light by the {spot2}.",
    ),
    (
        "And when they came home, there was soup.",
        '"Same time next year?" asked {H}. "Same time," said {N}.',
        "{N} kept {a smallthing2} from that day, next to the first one.",
        "And so the two of them grew old, and never once were bored.",
    ),
)
SNACKS = "sandwich|apple|plum cake|pancake|loaf|pretzel|cheese roll|pear|dumpling|biscuit".split("|")
