import torch


class CrossEntropyLabelSmooth:
    pass


class TripletLoss:
    """What these trainers call: the hardest positive and the hardest negative of each query."""

    def __init__(self, margin=None):
        self.margin = margin

    def __call__(self, global_feat, labels, normalize_feature=False):
        if normalize_feature:
            global_feat = torch.nn.functional.normalize(global_feat, dim=-1)
        distance = torch.cdist(global_feat, global_feat, compute_mode="donot_use_mm_for_euclid_dist")
        same = labels[:, None] == labels
        hardest = distance.masked_fill(~same, -1.0).amax(1)
        nearest = distance.masked_fill(same, torch.inf).amin(1)
        gap = hardest - nearest
        if self.margin is None:
            return torch.nn.functional.softplus(gap).mean(), hardest, nearest
        return (gap + self.margin).clamp(min=0).mean(), hardest, nearest
