from pytorch_metric_learning.losses import TripletMarginLoss

loss_func = TripletMarginLoss()


def step(embeddings, labels):
    return loss_func(embeddings, labels)
