"""Training and evaluating a re-ID model: sampler, model, losses, loop, checkpoints, features."""
