# %% [markdown] intro
# Who buys? A logistic regression by stochastic gradient descent over visits of a web shop.
# %% ledger
%load_ext nbledger
# %% imports
import csv
import math
import random

import features
# %% params [parameters]
path = "data/train.csv"
share = 0.7
# %% load
with open(path, newline="", encoding="utf-8") as file:
    rows = list(csv.DictReader(file))
# %% look
by_region = {}
for row in rows:
    by_region.setdefault(row["region"], []).append(int(row["bought"]))
for region, bought in sorted(by_region.items()):
    print(region, len(bought), sum(bought))
# %% points
points = [
    ([1.0, features.scaled(float(row["pages"])), features.squashed(float(row["minutes"]))], int(row["bought"]))
    for row in rows
]
# %% split
random.seed(11)
order = list(range(len(points)))
random.shuffle(order)
cut = int(share * len(order))
train, test = [points[i] for i in order[:cut]], [points[i] for i in order[cut:]]
# %% fit
%%mlrun fit -p rate -p rounds -m loss
rate = 0.3
rounds = 20
weights = [0.0, 0.0, 0.0]
for _ in range(rounds):
    for x, y in train:
        error = features.logit(sum(w * v for w, v in zip(weights, x))) - y
        weights = [w - rate * error * v for w, v in zip(weights, x)]
loss = -sum(
    math.log(max(1e-9, p if y else 1 - p))
    for x, y in test
    for p in [features.logit(sum(w * v for w, v in zip(weights, x)))]
) / len(test)
print(features.shown(loss))
