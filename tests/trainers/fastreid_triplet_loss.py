import torch


def triplet_loss(embedding, targets, margin, norm_feat, hard_mining):
    assert hard_mining
    if norm_feat:
        embedding = torch.nn.functional.normalize(embedding, dim=-1)
    distance = torch.cdist(embedding, embedding, compute_mode="donot_use_mm_for_euclid_dist")
    same = targets[:, None] == targets
    hardest = distance.masked_fill(~same, -1.0).amax(1)
    nearest = distance.masked_fill(same, torch.inf).amin(1)
    return (hardest - nearest + margin).clamp(min=0).mean()
