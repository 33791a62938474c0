"""One request's way, from arrival to its last token: read this room first.

The way itself:

* ``state``       its life as one table
* ``exchange``    the driver around the table: cache, queue, lease, backend, sink; what happens when one fails
* ``dispatcher``  all exchanges: begin, sweep deadlines, end those of dead backends, count
* ``turn``        to a lease: at once if a slot is free and nobody waits, else through the queue
* ``timeline``    when what happened, and the deadlines that follow
* ``journal``     what was relayed, for the cache and for going on elsewhere; ``unread`` stands in where nobody reads it
* ``outcome``     what is told when an answer begins, when it ends, and to those who keep count (``recording``)
* ``ports``       what all this needs from the world

When something breaks:

* ``recovery``    may another backend be asked? ``budget``: how many retries are too many
* ``resumption``  an answer that broke off, on its way to being continued
* ``refusal``     why routing found nobody, in words

The cache:

* ``cache_lane``  the cache as an exchange uses it; ``lookup`` is its part in one, ``cached_answer`` how a hit is told
* ``sharing``     one answer for all who ask the same meanwhile; ``flight`` is that answer on its way
* ``trials``      between a near answer and the client: the bound, and shadow mode
* ``checking``    near answers compared with a backend's own; ``judging``: by whom; ``background``: who asks the backend

Requests that ask for more:

* ``course``      which models may answer, and what the client is told of the choice; ``fallback`` follows it
* ``hedged``      a second backend where the first token is late, by what ``first_tokens`` has seen
"""
