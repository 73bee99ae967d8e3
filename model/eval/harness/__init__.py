"""Checkpoints of ours as model classes of lmms-eval and VLMEvalKit, neither of which we need."""
