"""One request's way, from arrival to its last token: read this room first.

* ``state``       its life as one table
* ``exchange``    the driver around the table: cache, queue, lease, backend, sink; what happens when one fails
* ``dispatcher``  all exchanges: begin, sweep deadlines, end those of dead backends, count
* ``cached``      the cache as an exchange uses it
* ``journal``     what was relayed, for the cache and for going on elsewhere
* ``unread``      its stand-in for answers that nobody here reads
* ``refusal``     why routing found nobody, in words
* ``timeline``    when what happened, and the outcome that comes of it
* ``ports``       what all this needs from the world
"""
