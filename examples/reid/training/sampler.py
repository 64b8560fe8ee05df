"""Batches of P identities with K images of each."""

import torch


class IdentitySampler:
    """Yields lists of P·K indices: K of one identity, K of the next, ...

    identities   [N], one for each image
    per_batch    P, identities in a batch of one rank
    per_identity K
    seed, rank, ranks

    In an epoch every image comes up at least once. An identity's images are shuffled and cut into
    groups of K; what a last group lacks is filled with images of the same identity that are not in
    it, and only one with fewer than K images shows some twice (none more than once more than
    another). A batch has P groups of different identities; those with the most groups left are the likelier
    ones, so that the largest identity does not end alone. Where it does, groups of others, drawn
    anew, fill the batch. A data set of fewer than P identities has batches of all of them.

    Ranks draw the same epoch and take different parts of it. With P·ranks identities or more a
    step's identities are all different: rank r has the r-th P of them, and the batches of all ranks
    in a row are the batch of one process with P·ranks. With fewer, each rank takes every ranks-th
    batch. Every rank has equally many batches, all of one size.

    An epoch depends on (seed, epoch) alone. `state_dict` says where in it the iteration is, and
    iteration goes on from there after `load_state_dict`; a loader that reads ahead passes the number of
    batches that were used.
    """

    def __init__(self, identities, per_batch, per_identity, *, seed=0, rank=0, ranks=1):
        identities = torch.as_tensor(identities)
        if identities.dim() != 1 or len(identities) == 0:
            raise ValueError(
                f"identities must be a list of at least one, got shape {list(identities.shape)}"
            )
        for name, value, least in (
            ("per_batch", per_batch, 1),
            ("per_identity", per_identity, 1),
            ("ranks", ranks, 1),
            ("rank", rank, 0),
        ):
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise ValueError(f"{name} must be a whole number >= {least}, got {value!r}")
        if rank >= ranks:
            raise ValueError(f"rank must be below ranks = {ranks}, got {rank}")
        order = identities.sort(stable=True)
        counts = torch.unique_consecutive(order.values, return_counts=True)[1]
        self.images = order.indices.split(counts.tolist())  # of each identity
        self.per_identity, self.seed = per_identity, seed
        self.rank, self.ranks = rank, ranks
        self.apart = len(self.images) >= per_batch * ranks
        self.per_batch = min(per_batch, len(self.images))  # P of a rank
        self.across = (
            self.per_batch * ranks if self.apart else self.per_batch
        )  # P of a plan's batch
        groups = -(-counts // per_identity)
        batches = max(int(groups.max()), -(-int(groups.sum()) // self.across))
        self.batches = batches if self.apart else -(-batches // ranks)
        self.epoch = self.position = 0

    def __len__(self):
        """Batches of an epoch, on this and every rank."""
        return self.batches

    def set_epoch(self, epoch):
        """The next iteration is epoch `epoch`, from its beginning."""
        self.epoch, self.position = epoch, 0

    def state_dict(self, position=None):
        position = self.position if position is None else position
        return {"seed": self.seed, "epoch": self.epoch, "position": position}

    def load_state_dict(self, state):
        if state["seed"] != self.seed:
            raise ValueError(f"seed must be {self.seed}, the sampler's, got {state['seed']}")
        if not 0 <= state["position"] <= len(self):
            raise ValueError(f"position must be 0 to {len(self)}, got {state['position']}")
        self.epoch, self.position = state["epoch"], state["position"]

    def __iter__(self):
        mine = self._plan()[self.position :]
        for batch in mine:
            self.position += 1
            yield batch
        self.position = 0

    def _plan(self):
        """This rank's batches of the epoch."""
        generator = torch.Generator().manual_seed(_mixed(self.seed, self.epoch))
        groups = [_groups(images, self.per_identity, generator) for images in self.images]
        left = torch.tensor([len(g) for g in groups])
        total = self.batches if self.apart else self.batches * self.ranks
        plan = []
        for step in range(total):
            batch = []
            for identity in self._chosen(left, total - step, generator):
                if not groups[identity]:
                    groups[identity] = _groups(self.images[identity], self.per_identity, generator)
                batch += groups[identity].pop()
                left[identity] = max(0, int(left[identity]) - 1)
            plan.append(batch)
        if not self.apart:
            return plan[self.rank :: self.ranks]
        size = self.per_batch * self.per_identity
        return [batch[self.rank * size : (self.rank + 1) * size] for batch in plan]

    def _chosen(self, left, steps, generator):
        """The identities of a batch, `left` groups each and `steps` batches to go, in random order.

        Who has a group for every batch to come must be in; the others are drawn without replacement
        in proportion to what they have left (exponential waiting times), then those with none.
        """
        waits = torch.empty(len(left), dtype=torch.float64).exponential_(generator=generator)
        key = waits / left
        key[left == 0] = 1e300 * waits[left == 0]
        key[left >= steps] = -1.0
        chosen = key.argsort(stable=True)[: self.across]
        return chosen[torch.randperm(len(chosen), generator=generator)].tolist()


def _groups(images, k, generator):
    """An identity's images in groups of k, each image once; the last group is filled from the first."""
    order = images[torch.randperm(len(images), generator=generator)]
    size = -(-len(images) // k) * k
    order = order.repeat(-(-size // len(images)))[:size]
    return [group.tolist() for group in order.split(k)]


def _mixed(*numbers):
    """One seed of several numbers: neighbours have nothing in common."""
    state = 0
    for number in numbers:
        state = (state + number + 0x9E3779B97F4A7C15) % 2**64
        state = (state ^ (state >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
        state = (state ^ (state >> 27)) * 0x94D049BB133111EB % 2**64
        state ^= state >> 31
    return state % 2**63
