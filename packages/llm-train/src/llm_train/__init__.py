"""Pretraining and supervised fine-tuning on Paddle, driven by paddlenlp's Trainer.

`llm_train.model` builds and writes models, `llm_train.loop` runs one: data order, loss, evaluation,
checkpoints, resume, metrics. `pretrain` and `sft` are the two commands.

Letters in shapes: B batch, T tokens, E hidden, V vocabulary; S samples of a data set.
"""
