# The code of the stage train, written by `nbledger code`: edit the notebook.
# fmt: off
# flake8: noqa

# %%
import json

import numpy as np
import pandas as pd

# %%
test_share = 0.4
seed = 0
smoothing = 0.00001
least_accuracy = 0.9

# %%
from sklearn.model_selection import train_test_split
from sklearn.naive_bayes import GaussianNB

wine = pd.read_csv("data/wine.csv")
seen, unseen = train_test_split(wine, test_size=test_share, random_state=seed, stratify=wine["target"])
features = [name for name in wine.columns if name != "target"]
fitted = GaussianNB(var_smoothing=smoothing).fit(seen[features].to_numpy(), seen["target"])
model = {
    "features": features,
    "classes": fitted.classes_.tolist(),
    "prior": fitted.class_prior_.round(6).tolist(),
    "mean": fitted.theta_.round(6).tolist(),
    "var": fitted.var_.round(6).tolist(),
}
with open("model.json", "w") as file:
    json.dump(model, file, indent=1)
unseen.to_csv("test.csv", index=False)
