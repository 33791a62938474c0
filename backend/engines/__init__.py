"""What generates tokens: one port, and the engines behind it. Read `base` first.

* ``base``     the port: what a request is, what an engine yields for it, what it tells of its load
* ``catalog``  which engine serves which model
* ``echo``     an engine without a model: says the prompt back
* ``stops``, ``rate``  of any engine: where a stop string ends an answer; tokens per second

The engine for Hugging Face models, from the outside in; torch and transformers are imported inside its functions:

* ``transformers_engine``  the event loop's side, and the one worker thread that loads and generates
* ``load``           the model, its tokenizer and its limits
* ``prompts``        prompts of any form -> token ids
* ``scheduler``      continuous batching: who takes part in the next step
* ``sequence``       one request in the batch: its tokens, its text, where it ends
* ``detokenize``     token ids -> text that never changes afterwards
* ``sampling``       the next token of each sequence, from its own random numbers
* ``runner``         the forward pass of a whole batch; one sequence after the other where a model allows no batch
* ``slot_cache``     keys and values of the batch, a row for each sequence
* ``row_attention``  attention whose bits do not depend on who else is in the batch
"""
