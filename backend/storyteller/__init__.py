"""The built-in model's own stories: what the storyteller was trained on and how it is judged.

Read in this order: `words` (people, places, helpers), `plots` (wishes, troubles, turns, endings), `grammar` (how a
template becomes text and how many texts it can become), `stories` (one whole story from a seed), `prompts` (what a
person may ask, and whole conversations), `tokenizer` (byte-level BPE built on those texts), `overlap` and `evaluate`
(how a generated story is judged). The weights stand in `backend/models/storyteller`; `scripts/train_storyteller.py`
made them. Everything here is a pure function of its random generator: the same seed tells the same story.
"""
