from fastreid.modeling.losses import *


class Baseline:
    """A meta-architecture: settings of the triplet loss go to it by position."""

    def __init__(self, loss_kwargs):
        self.loss_kwargs = loss_kwargs

    def losses(self, outputs, gt_labels):
        tri = self.loss_kwargs['tri']
        settings = [tri.get(name) for name in ('margin', 'norm_feat', 'hard_mining')]
        loss = triplet_loss(outputs['features'], gt_labels, *settings)
        return {'loss_triplet': loss * tri.get('scale')}
