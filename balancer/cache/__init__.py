"""The cache room: earlier answers, and when one may be given again. Pure: no I/O, clock, randomness or logging.

``control``   what a request's ``cache`` field asks for
``keys``      request -> exact key, scope, the text that may be fuzzy, or why it is not cached at all
``entry``     one complete answer
``vectors``   the embedded questions of one scope in one matrix, and the nearest of them
``clusters``  the same in small clusters, so that a search reads few of them
``verdict``   may the answer to that question be given for this one?
``learned``   the verdict with a learned score: gates, then a calibrated probability; its file is ``verdict.npz``
``reading``   what is kept of a text for it, in bytes
``network``   its score
``features``  the words of two texts as numbers for the score
``gates``     differences that no score outvotes
``lexicon``   the words of one text: by weight, names, quotes and code, relations
``signature`` the numbers and negations of a text, which the verdict compares
``antonyms``  English words of opposite meaning
``words``     English words for numbers, units and negations
``counters``  what the cache did, for the status page
``limits``    the bounds of a store
``lru``       entries within them, and who leaves for whom
``expiry``    when to look for entries whose time has come
``timely``    questions whose answers hold for a shorter time
``question``  the question of a request as people see it
``epochs``    forgetting all entries at once
``running``   questions that are being answered
``purge``     which entries are to be forgotten
``denials``   which entries may not answer which requests again
``changes``   what came and left, for whoever keeps entries elsewhere
``unembedded``  entries whose question has yet to be embedded
``hit``       an entry that answers
``observations``  what became of near answers, counted by what the verdict had claimed
``judge_error``   how often who checks is mistaken, and a share corrected for it
``posterior`` from those counts to what the claims are worth
``bound``     whether a near answer may be served, by what became of earlier ones
``bound_parts``  what it knows of one pool of entries, and of one entry
``answers``   whether two answers say the same
``store``     all of it together: exact and near lookup, LRU, bytes, expiry, purge

It is given vectors and never sees a model.
"""
