"""Prompts as people type them to a model, in groups of paraphrases with slots whose values lie near each other.

Two lines of one group with equal slots mean the same; with one slot changed, or one phrase turned round, they do not.
"""

from __future__ import annotations

import random
import re
from typing import Final

from scripts.train_verdict_parts.negatives import Made

SLOTS: Final = {
    "lang": "Python|Java|JavaScript|Rust|Go|C++|C#|Ruby|TypeScript|Kotlin|Swift|PHP",
    "os": "Ubuntu|Debian|Windows|macOS|Fedora|Arch Linux",
    "db": "PostgreSQL|MySQL|SQLite|MongoDB|Redis|MariaDB",
    "ver": "3.8|3.9|3.10|3.11|3.12|2.7|4.0|5.1",
    "major": "14|15|16|17|18|20|22",
    "country": "France|Germany|Italy|Spain|Portugal|Japan|China|India|Brazil|Canada|"
    "Australia|Mexico|Egypt|Kenya|Norway|Sweden|Austria|Switzerland|Iran|Iraq",
    "city": "Paris|London|Berlin|Madrid|Rome|Tokyo|Boston|Chicago|"
    "Dallas|Seattle|Sydney|Melbourne|Vienna|Prague|Oslo|Mumbai|Delhi",
    "city2": "Lisbon|Munich|Milan|Osaka|Denver|Toronto|Dublin|Zurich|Geneva|Warsaw",
    "year": "1998|2008|2012|2016|2019|2020|2021|2022|2023|2024",
    "month": "January|February|March|April|June|July|September|October|November|December",
    "day": "Monday|Tuesday|Wednesday|Thursday|Friday|Saturday|Sunday",
    "n": "3|4|5|6|7|8|10|12|15|20|25|30",
    "big": "100|150|200|250|300|500|750|1000|2000",
    "mass": "mg|g|kg|ounces|pounds",
    "len": "meters|feet|inches|centimeters|kilometers|miles",
    "time": "minutes|hours|days|weeks|months|years",
    "drug": "ibuprofen|aspirin|paracetamol|amoxicillin|melatonin|naproxen|acetaminophen",
    "cond": "pregnancy|breastfeeding|chemotherapy|a migraine|a fever|high blood pressure",
    "animal": "dog|cat|rabbit|hamster|horse|parrot",
    "food": "rice|pasta|chicken|salmon|potatoes|eggs|lentils|tofu",
    "person": "Albert Einstein|Isaac Newton|Marie Curie|Charles Darwin|"
    "Nikola Tesla|Galileo Galilei|Alan Turing|Ada Lovelace",
    "company": "Google|Microsoft|Apple|Amazon|Netflix|Tesla|Intel|Nvidia|Samsung|Sony",
    "planet": "Mars|Venus|Jupiter|Saturn|Mercury|Neptune",
    "phone": "iPhone 13|iPhone 14|iPhone 15|Galaxy S22|Galaxy S23|Pixel 7|Pixel 8",
    "cur": "dollars|euros|pounds|yen|rupees",
    "book": "Hamlet|Macbeth|Moby Dick|Dracula|Frankenstein|Emma|Dune|The Hobbit",
    "lang2": "French|German|Spanish|Italian|Japanese|Korean|Arabic|Portuguese|Dutch",
    "war": "World War I|World War II|the Vietnam War|the Korean War|the Cold War|the Crimean War",
    "elem": "iron|copper|gold|silver|sodium|helium|carbon|oxygen",
    "sport": "football|tennis|basketball|cricket|golf|rugby",
    "algo": "quicksort|merge sort|binary search|bubble sort|heap sort|breadth-first search|depth-first search",
    "tool": "Docker|Kubernetes|Git|Terraform|Ansible|Jenkins|nginx",
    "vit": "vitamin C|vitamin D|vitamin B12|iron|zinc|magnesium",
    "plant": "tomatoes|roses|basil|cucumbers|strawberries|orchids|lavender",
}

_GROUPS: Final = """
How do I install {lang} {ver} on {os}? | What are the steps to install {lang} {ver} on {os}? | Installing {lang} {ver} on {os} - how is it done? | Can you show me how to set up {lang} {ver} on {os}?
Write a {lang} function that reverses a string | Give me a function in {lang} to reverse a string | Show me {lang} code for reversing a string | how to reverse a string in {lang}
What is new in {lang} {ver}? | Which features were added in {lang} {ver}? | List the new features of {lang} {ver} | what changed in {lang} {ver}
How do I back up a {db} database? | What is the way to make a backup of a {db} database? | Backing up {db}: how? | Explain how to create a {db} database backup
What is the capital of {country}? | Which city is the capital of {country}? | Tell me {country}'s capital city | name the capital of {country}
How many people live in {country}? | What is the population of {country}? | Tell me {country}'s population | What's the number of inhabitants of {country}?
Who won the {sport} world cup in {year}? | Which team was the {year} {sport} world cup champion? | Tell me the winner of the {year} {sport} world cup | who were the {sport} world champions in {year}
What is the weather like in {city} in {month}? | How is the weather in {city} during {month}? | Describe {city}'s weather in {month} | What kind of weather does {city} have in {month}?
Plan a {n} day trip to {city} | Make an itinerary for {n} days in {city} | Can you plan a {n}-day visit to {city}? | I need a {n} day travel plan for {city}
How long is a flight from {city} to {city2}? | What is the flight time from {city} to {city2}? | How many hours does it take to fly from {city} to {city2}? | flight duration {city} to {city2}
Is {drug} safe during {cond}? | Can I take {drug} during {cond}? | Is it okay to use {drug} during {cond}? | Is taking {drug} during {cond} safe?
Is {big} mg of {drug} too much for an adult? | Is a dose of {big} mg {drug} too high for an adult? | Would {big} mg of {drug} be too much for a grown-up?
Convert {big} {mass} to grams | What is {big} {mass} in grams? | How many grams are {big} {mass}? | {big} {mass} in grams?
How tall is {n} {len} in centimeters? | Convert {n} {len} to centimeters | What is {n} {len} in cm?
Summarize the plot of {book} | Give me a summary of {book} | What happens in {book}? | Can you write a short plot summary of {book}?
Write a {n} line poem about autumn | Compose a poem of {n} lines on autumn | I'd like a poem with {n} lines about the fall season
Who was {person} and what did they discover? | Tell me about {person} and their discoveries | What is {person} known for?
When was {person} born? | What is the birth date of {person}? | Tell me {person}'s date of birth | On which day was {person} born?
Who is the CEO of {company}? | Who runs {company}? | Name the chief executive of {company} | What is the name of {company}'s CEO?
How far is {planet} from the Sun? | What is the distance between {planet} and the Sun? | Tell me {planet}'s distance from the sun
How do I reset my {phone}? | What are the steps for resetting a {phone}? | Explain how to do a reset on the {phone} | {phone} reset instructions
How much is {big} {cur} in Swiss francs? | Convert {big} {cur} to Swiss francs | {big} {cur} in CHF? | What is the value of {big} {cur} in Swiss francs?
Translate "good morning" into {lang2} | How do you say "good morning" in {lang2}? | What is "good morning" in {lang2}? | What's the {lang2} for "good morning"?
Translate 'where is the train station' to {lang2} | How would you say 'where is the train station' in {lang2}? | Give me 'where is the train station' in {lang2}
What caused {war}? | What were the causes of {war}? | Why did {war} start? | Explain the reasons {war} broke out
When did {war} end? | In which year was {war} over? | What is the year {war} ended?
What is the melting point of {elem}? | At which temperature does {elem} melt? | {elem} melting temperature | How hot must it be for {elem} to melt?
Explain {algo} to a beginner | Can you explain how {algo} works in simple terms? | I'm new to programming, what is {algo}? | Describe {algo} for novices
What is the time complexity of {algo}? | How fast is {algo} in big O notation? | Give the big-O complexity of {algo}
How do I uninstall {tool} on {os}? | What is the way to remove {tool} from {os}? | Uninstalling {tool} from {os}, how do I do it?
What is {tool} used for? | Why do people use {tool}? | Explain the purpose of {tool} | What's the use of {tool}?
How do I upgrade {db} {major} on {os}? | Steps for upgrading {db} {major} on {os} | Explain how one can upgrade {db} {major} on {os}
How long should I boil {food}? | What is the boiling time for {food}? | For how many minutes do I need to boil {food}? | boiling {food}: how long
Can my {animal} eat {food}? | Is it fine to give my {animal} {food}? | Is {food} okay for a {animal} to eat? | Are {food} safe for my {animal}?
What should I feed a {n} week old {animal}? | What food is right for a {animal} that is {n} weeks old? | Which diet suits a {n}-week-old {animal}?
How often should I water {plant}? | What's the right watering frequency for {plant}? | How frequently do {plant} need water?
What are the symptoms of too much {vit}? | Which symptoms come from a {vit} overdose? | signs of excess {vit} | How can I tell I have taken too much {vit}?
What are the benefits of {vit}? | Why is {vit} good for you? | List the health benefits of {vit} | How does {vit} help the body?
What time does the museum open on {day}? | When does the museum open on {day}s? | Museum opening time on {day}? | On {day}, at what time does the museum open?
Remind me what happened on {month} {n}, {year} | What happened on {month} {n}, {year}? | Which events took place on {month} {n} {year}?
How many {time} are there in {n} centuries? | {n} centuries is how many {time}? | Tell me the number of {time} in {n} centuries
How do I save {big} {cur} in {n} months? | What's a way to put aside {big} {cur} within {n} months? | Give me a plan to save {big} {cur} over {n} months
What is the best month to visit {country}? | When should I travel to {country}? | Which month is ideal for a trip to {country}? | best time of year to go to {country}
Do I need a visa for {country}? | Is a visa required to enter {country}? | Must I have a visa to go to {country}? | Are visas needed for {country}?
Explain the difference between {lang} {ver} and {lang} 3.13 | What differs between {lang} {ver} and {lang} 3.13? | How does {lang} {ver} compare with {lang} 3.13?
What is {n} times {big}? | Calculate {n} multiplied by {big} | How much is {n} x {big}? | {n} * {big} = ?
What is {n} percent of {big}? | Calculate {n}% of {big} | How much is {n} % of {big}?
Recommend a {n} minute workout without equipment | Suggest a workout of {n} minutes that needs no equipment | What is a good {n} minute exercise routine with no equipment?
Should I exercise before breakfast? | Is it good to work out before having breakfast? | Would you recommend training before breakfast?
Who wrote {book}? | Who is the author of {book}? | Name the writer of {book} | {book} was written by whom?
How do I enable dark mode on my {phone}? | Where is the setting to turn on dark mode on the {phone}? | How can dark mode be switched on on a {phone}?
What stocks rose in {month} {year}? | Which shares went up in {month} {year}? | List stocks that gained in {month} {year}
Draft an email asking my boss for {n} days off in {month} | Write an email to my manager requesting {n} days of leave in {month} | Compose a message to my boss to ask for {n} days off in {month}
Fix this: for i in range({n}): print(i) | What's wrong with: for i in range({n}): print(i) | Correct the code: for i in range({n}): print(i)
How do I list files larger than {big} MB on {os}? | Show me how to find files over {big} MB on {os} | What command finds files bigger than {big} MB on {os}?
What does HTTP status code {big} mean? | Explain HTTP status {big} | meaning of http {big} | What is the meaning of an HTTP {big} response?
How do I sort a list in descending order in {lang}? | What is the way to sort a list from high to low in {lang}? | {lang}: sort list descending
Should I buy a house in {city} now? | Is it wise to purchase a home in {city} now? | Would it be a good idea to buy a house in {city} at this time?
Is {food} healthy? | Is eating {food} good for your health? | Is it healthy to eat {food}? | Does {food} belong to a healthy diet?
How do I learn {lang2} in {n} months? | What's the fastest way to learn {lang2} within {n} months? | Give me a study plan to learn {lang2} in {n} months
"""  # noqa: E501

_TURNED: Final = (
    ("Is it okay", "Is it not okay"),
    ("safe", "unsafe"),
    ("safe", "not safe"),
    ("Can I", "Why can I not"),
    ("Do I need", "Do I not need"),
    ("Should I", "Should I not"),
    ("enable", "disable"),
    ("turn on", "turn off"),
    ("switched on", "switched off"),
    ("install ", "uninstall "),
    ("descending", "ascending"),
    ("from high to low", "from low to high"),
    ("larger", "smaller"),
    ("bigger", "smaller"),
    ("over", "under"),
    ("before", "after"),
    ("rose", "fell"),
    ("went up", "went down"),
    ("gained", "lost"),
    ("without", "with"),
    ("no equipment", "equipment"),
    ("good idea", "bad idea"),
    ("healthy", "unhealthy"),
    ("is new", "is no longer"),
    ("added", "removed"),
    ("benefits", "risks"),
    ("good for", "bad for"),
    ("too much", "too little"),
    ("too high", "too low"),
    ("best", "worst"),
    ("buy", "sell"),
    ("purchase", "sell"),
    ("ideal", "worst"),
    ("fastest", "slowest"),
    ("open", "close"),
    ("opening", "closing"),
    ("upgrade", "downgrade"),
    ("upgrading", "downgrading"),
    ("used", "not used"),
    ("end?", "begin?"),
    ("born", "not born"),
    ("required", "not required"),
    ("wise", "unwise"),
    ("help", "harm"),
    ("Is {", "Is not {"),
    ("How do I", "How do I not"),
    ("fine", "not fine"),
    ("okay", "not okay"),
)
_SLOT: Final = re.compile(r"\{(\w+)\}")
_SAME: Final = 0.45
_SLOT_CHANGED: Final = 0.85
_HELD_OUT: Final = 3


def groups(held_out: bool) -> list[list[str]]:
    """The groups for training, or the third of them that is kept aside."""
    found = [line.split(" | ") for line in _GROUPS.strip().splitlines()]
    random.Random(5).shuffle(found)
    cut = len(found) // _HELD_OUT
    return found[:cut] if held_out else found[cut:]


def made_pairs(count: int, seed: int, *, held_out: bool) -> list[Made]:
    """About ``count`` different pairs, nearly half of them duplicates."""
    rng = random.Random(seed)
    chosen = groups(held_out)
    made = (_made(rng.choice(chosen), rng) for _ in range(count))
    return list(dict.fromkeys(one for one in made if one is not None))


def _made(group: list[str], rng: random.Random) -> Made | None:
    one, other = rng.sample(group, 2)
    values = {slot: rng.choice(SLOTS[slot].split("|")) for slot in sorted(set(_SLOT.findall(one + other)))}
    first, draw = _filled(one, values), rng.random()
    if draw < _SAME:
        return Made(first, _filled(other, values), 1, "paraphrase")
    base = other if rng.random() < 0.6 else one
    if draw < _SLOT_CHANGED and values:
        changed = dict(values)
        slot = rng.choice(sorted(values))
        kind = "slot"
        if slot in ("city", "city2") and "city2" in values and rng.random() < 0.5:
            changed["city"], changed["city2"], kind = values["city2"], values["city"], "order"
        else:
            changed[slot] = rng.choice([value for value in SLOTS[slot].split("|") if value != values[slot]])
        second = _filled(base, changed)
    else:
        fitting = [(x, y) for x, y in _TURNED if x in base]
        if not fitting:
            return None
        x, y = rng.choice(fitting)
        second, kind = _filled(base.replace(x, y, 1), values), "polarity"
    return Made(first, second, 0, kind) if first != second else None


def _filled(line: str, values: dict[str, str]) -> str:
    return _SLOT.sub(lambda found: values[found.group(1)], line)
