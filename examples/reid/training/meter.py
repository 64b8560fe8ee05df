"""Sums over the steps of an epoch."""


class Meter:
    """Means of what steps report, and where the time went. Plain numbers, saved in the middle of an epoch."""

    def __init__(self):
        self.load_state_dict(
            {"steps": 0, "images": 0, "seconds": 0.0, "loss_seconds": 0.0, "sums": {}}
        )

    def add(self, values, images):
        self.steps += 1
        self.images += images
        for name, value in values.items():
            self.sums[name] = self.sums.get(name, 0.0) + value

    def means(self):
        return {name: value / self.steps for name, value in self.sums.items()}

    @property
    def rate(self):
        return self.images / self.seconds if self.seconds else 0.0

    @property
    def share(self):
        return self.loss_seconds / self.seconds if self.seconds else 0.0

    def state_dict(self):
        return {
            "steps": self.steps,
            "images": self.images,
            "seconds": self.seconds,
            "loss_seconds": self.loss_seconds,
            "sums": dict(self.sums),
        }

    def load_state_dict(self, state):
        self.steps, self.images = state["steps"], state["images"]
        self.seconds, self.loss_seconds = state["seconds"], state["loss_seconds"]
        self.sums = dict(state["sums"])
