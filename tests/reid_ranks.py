"""What test_reid_distributed.py lets torchrun start: runs of the example's trainer on two ranks.

torchrun --nproc-per-node 2 tests/reid_ranks.py FOLDER
"""

import json
import os
import signal
import sys
from pathlib import Path

import torch

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent / "examples" / "reid"), str(HERE)]

P = 4  # identities of a batch of one rank


class Linear(torch.nn.Module):
    """Nothing in it looks at the batch as a whole, so that ranks are as good as one process; float64."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(3)
        self.body = torch.nn.Linear(3 * 16 * 8, 16, dtype=torch.float64)
        self.head = torch.nn.Linear(16, 10, dtype=torch.float64)

    def forward(self, images):
        from training.model import Output

        features = self.body(images.double().flatten(1)).tanh()
        return Output(features, features, self.head(features))


def linear(folder, loss, **changes):
    """A run of the linear model; its weights afterwards and its losses."""
    from reid_kit import trained

    trainer = trained(
        folder, network=Linear(), loss=loss, id_loss=True, label_smoothing=0.0, optimizer="sgd",
        lr=0.02, **changes,
    )  # fmt: skip
    weights = {key: value.tolist() for key, value in trainer.model.state_dict().items()}
    return {"weights": weights, "records": trainer.records}


def interrupted(folder):
    """Rank 1 alone hears Ctrl-C in step 3; both save and stop, and go on later."""
    import torch.distributed as dist

    from reid_kit import fake, settings, trained
    from training.interrupt import Stopped
    from training.loop import Trainer

    options = dict(epochs=3, per_batch=2, id_loss=True)
    trainer = Trainer(fake(), settings(**options), folder / "cut", quiet=True)
    update, done = trainer.step.update, []

    def signalled(*arguments):
        update(*arguments)
        done.append(1)
        if len(done) == 3 and dist.get_rank() == 1:
            os.kill(os.getpid(), signal.SIGINT)

    trainer.step.update = signalled
    try:
        trainer.run()
        stopped = False
    except Stopped:
        stopped = True
    dist.barrier()
    again = trained(folder / "cut", resume=True, **options)
    trained(folder / "whole", **options)
    return {"stopped": stopped, "steps": len(done), "classes": again.classes}


def main(folder):
    from training import ranks

    torch.set_num_threads(1)
    ranks.join(torch.device("cpu"))
    results = {
        loss: linear(folder / loss, loss, per_batch=P, epochs=2) for loss in ("drsl", "triplet")
    }
    results["interrupted"] = interrupted(folder)
    (folder / f"{os.environ['RANK']}.json").write_text(json.dumps(results))
    ranks.leave()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
