"""English words of opposite meaning. A table, and the prefixes and suffixes that turn a word round."""

from __future__ import annotations

from typing import Final

_PAIRS: Final = (
    "accept:refuse,reject,decline|add:remove,subtract,delete|advantage:disadvantage,drawback|after:before|"
    "alive:dead|allow:forbid,deny,prohibit,block,prevent|always:never|ancient:modern|approve:reject|"
    "arrive:leave,depart|ascending:descending|asleep:awake|attack:defend|bad:good,great,fine|bear:bull|"
    "beautiful:ugly|begin:end,finish,stop|benefit:risk,harm,drawback|best:worst|better:worse|"
    "big:small,little,tiny|bitter:sweet|black:white|block:unblock|bold:timid|boring:interesting,exciting|"
    "bottom:top|boy:girl|brave:cowardly,afraid|bright:dark,dim,dull|broad:narrow|brother:sister|buy:sell|"
    "calm:nervous,anxious|cause:prevent,cure|cheap:expensive,costly|clean:dirty|clear:vague,unclear,ambiguous|"
    "clever:stupid,dumb|close:open,far|cold:hot,warm|common:rare|complex:simple|connect:disconnect|"
    "constant:variable|cooked:raw|correct:wrong,incorrect,false|crazy:sane|create:destroy,delete|cruel:kind|"
    "dangerous:safe|dark:light|day:night|deaf:hearing|decrease:increase,raise|deep:shallow|defeat:victory|"
    "demand:supply|difficult:easy,simple|disable:enable|down:up|download:upload|downgrade:upgrade|drunk:sober|"
    "dry:wet|dull:sharp,bright|early:late|earn:spend,lose|easy:hard|east:west|easier:harder|easiest:hardest|"
    "encrypt:decrypt|enemy:friend|enter:exit,leave|even:odd|evening:morning|evil:good|export:import|"
    "expand:shrink,collapse|extend:shorten|external:internal|fail:succeed,pass|failure:success|fair:foul,unfair|"
    "fake:real,genuine|fall:rise|false:true|familiar:strange|famous:unknown|fast:slow|faster:slower|"
    "fastest:slowest|fat:thin,slim,skinny|father:mother|fell:rose|female:male|few:many|fewer:more|first:last|"
    "forget:remember|forward:backward|free:busy,paid|frequent:rare|fresh:stale,rotten|full:empty|future:past|"
    "gain:lose,loss|generous:stingy,mean|gentle:rough,harsh|guilty:innocent|half:double|happy:sad,miserable|"
    "hard:soft|hate:love,like|healthy:sick,ill|heavy:light|help:hurt,harm,hinder|hide:show,reveal|high:low|"
    "higher:lower|highest:lowest|honest:dishonest,lying|horizontal:vertical|huge:tiny|husband:wife|immense:tiny|"
    "import:export|important:trivial,insignificant,minor|include:exclude|increase:reduce,decrease|inner:outer|"
    "input:output|inside:outside|install:uninstall,remove|intelligent:stupid|join:leave,split,quit|junior:senior|"
    "knowledge:ignorance|large:small|largest:smallest|larger:smaller|bigger:smaller|biggest:smallest|late:early|"
    "lazy:hardworking,diligent|least:most|left:right|less:more|like:dislike,hate|lock:unlock|long:short|"
    "longer:shorter|longest:shortest|loose:tight|lose:win,find|loser:winner|loss:profit,gain|loud:quiet|"
    "major:minor|man:woman|maximum:minimum|men:women|merge:split|modern:ancient|natural:artificial,supernatural|"
    "near:far|negative:positive|new:old|newer:older|newest:oldest|noisy:quiet|none:all|north:south|"
    "northern:southern|eastern:western|offline:online|old:young|open:close,shut,closed|optimist:pessimist|"
    "over:under|parent:child|part:whole|pass:fail|passive:active|peace:war|permanent:temporary|plural:singular|"
    "plus:minus|polite:rude|poor:rich,wealthy|popular:unpopular|possible:impossible|pretty:ugly|private:public|"
    "pro:con|profit:loss|pros:cons|proud:ashamed|pull:push|pure:impure|question:answer|quick:slow|quickly:slowly|"
    "raise:lower|real:imaginary,fake|reduce:increase|relevant:irrelevant|rich:poor|right:wrong,left|rough:smooth|"
    "rural:urban|sane:insane|save:spend,waste|same:different|send:receive|serious:joking,frivolous,funny|"
    "shallow:deep|sick:healthy,well|single:married|sink:float|smart:stupid,dumb|smooth:rough|son:daughter|"
    "start:stop,end,finish|strength:weakness|strict:lenient|strong:weak|stronger:weaker|sunrise:sunset|"
    "sweet:sour|tall:short|teach:learn|thick:thin|today:tomorrow,yesterday|tomorrow:yesterday|together:apart|"
    "top:bottom|tragic:comic|true:false|trust:distrust|unite:divide|upper:lower|up:down|useful:useless|"
    "visible:hidden|weak:strong|well:badly,poorly|wide:narrow|win:lose|winter:summer|wise:foolish|worst:best|"
    "worth:worthless|yes:no|young:old|younger:older|youngest:oldest|uncle:aunt|king:queen|prince:princess|"
    "actor:actress|employer:employee|lender:borrower|lend:borrow|teacher:student|doctor:patient|host:guest|"
    "buyer:seller|predator:prey|debit:credit|asset:liability|inflation:deflation|offense:defense|ally:enemy|"
    "sharp:blunt|straight:crooked,curved|arrival:departure|birth:death|born:died|marry:divorce|marriage:divorce|"
    "hire:fire|expand:contract|inhale:exhale|attract:repel|freeze:melt,boil|ask:answer|lead:follow|"
    "encourage:discourage|praise:criticize,blame|agree:disagree|appear:disappear,vanish|trivial:important|"
    "playful:serious|certain:doubtful|sure:doubtful|manageable:difficult|loved:hated|won:lost|bought:sold|"
    "gained:lost|raised:lowered|on:off|in:out|into:from|above:below,under|maximize:minimize|maximise:minimise|"
    "mute:unmute|follow:unfollow|freeze:unfreeze|zip:unzip|load:unload|dress:undress|fold:unfold|pack:unpack|"
    "plug:unplug|subscribe:unsubscribe|login:logout|undo:redo|serial:parallel|synchronous:asynchronous"
)

_PREFIXES: Final = frozenset(("un", "in", "im", "il", "ir", "dis", "non", "anti", "de"))
_STEM_MIN: Final = 3


def _table() -> dict[str, frozenset[str]]:
    found: dict[str, set[str]] = {}
    for line in _PAIRS.split("|"):
        word, _, others = line.partition(":")
        for other in others.split(","):
            found.setdefault(word, set()).add(other)
            found.setdefault(other, set()).add(word)
    return {word: frozenset(others) for word, others in found.items()}


ANTONYMS: Final = _table()


def _base(word: str) -> tuple[str, bool]:
    """The word without a prefix or suffix that turns it round, and whether it had one."""
    if word.endswith("less") and len(word) - 4 >= _STEM_MIN:
        return word[:-4], True
    if word.endswith("ful") and len(word) - 3 >= _STEM_MIN:
        return word[:-3], False
    return word, False


def opposite(word: str, other: str) -> bool:
    """Whether two different words, in lower case, mean the opposite of each other."""
    if other in ANTONYMS.get(word, ()):
        return True
    short, long = (word, other) if len(word) < len(other) else (other, word)
    if len(short) >= _STEM_MIN and long.endswith(short) and long[: -len(short)] in _PREFIXES:
        return True
    (root, turned), (other_root, other_turned) = _base(word), _base(other)
    return turned != other_turned and root == other_root
