# The code of the stage deploy-check, written by `nbledger code`: edit the notebook.
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
def predict(model, rows):
    """For each row the class of the greatest posterior probability."""
    x = rows[model["features"]].to_numpy()[:, None, :]
    mean, var = np.array(model["mean"]), np.array(model["var"])
    likelihood = -0.5 * (np.log(2 * np.pi * var) + (x - mean) ** 2 / var).sum(axis=2)
    return np.array(model["classes"])[(np.log(model["prior"]) + likelihood).argmax(axis=1)]

# %%
with open("model.json") as file:
    model = json.load(file)
with open("metrics.json") as file:
    reached = json.load(file)["accuracy"]
request = pd.DataFrame([model["mean"][0]], columns=model["features"])
answer = int(predict(model, request)[0])
verdict = {
    "accuracy": reached,
    "least_accuracy": least_accuracy,
    "answer": answer,
    "deploy": reached >= least_accuracy and answer == model["classes"][0],
}
with open("deploy.json", "w") as file:
    json.dump(verdict, file, indent=1)
verdict
