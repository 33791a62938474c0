"""The built-in model's own stories: what the storyteller was trained on and how it is judged.

Read in this order: `words` and `themes` (people, places, things), `plot`, then `quests`, `company` and `riddles`
(wishes, troubles, turns, endings), gathered in `plots`; `beats` (openings, habits, farewells); `grammar` (how a
template becomes text and how many texts it can become) and `synonyms`; `stories` (one whole story from a generator of
random numbers); `prompts` (what a person may ask, and whole conversations) and `renaming`; `tokenizer` and `batches`
(from texts to what a model is trained on); `held_out`, `sampling`, `names`, `overlap` and `evaluate` (how generated
stories are judged). The weights stand in `backend/models/storyteller`; `scripts/train_storyteller` made them.
The same seed tells the same story; changing a template changes the corpus that `training.json` beside the weights
stands for, so that the share of recited text can no longer be measured exactly.
"""
