from fastreid.modeling.losses import *


class Baseline:
    def __init__(self, loss_kwargs):
        self.loss_kwargs = loss_kwargs

    def losses(self, outputs, gt_labels):
        pred_features = outputs['features']
        loss_dict = {}
        if 'TripletLoss' in self.loss_kwargs['loss_names']:
            tri_kwargs = self.loss_kwargs.get('tri')
            loss_dict['loss_triplet'] = triplet_loss(
                pred_features,
                gt_labels,
                tri_kwargs.get('margin'),
                tri_kwargs.get('norm_feat'),
                tri_kwargs.get('hard_mining')
            ) * tri_kwargs.get('scale')
        return loss_dict
