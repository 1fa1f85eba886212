# The code of the stage evaluate, written by `nbledger code`: edit the notebook.
# fmt: off
# flake8: noqa

# %%
import json

import numpy as np
import pandas as pd

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
unseen = pd.read_csv("test.csv")
predicted = predict(model, unseen)
actual = unseen["target"]
recall = [float((predicted[actual == each] == each).mean()) for each in model["classes"]]
scores = {
    "accuracy": round(float((predicted == actual).mean()), 4),
    "recall": {str(each): round(share, 4) for each, share in zip(model["classes"], recall)},
}
with open("metrics.json", "w") as file:
    json.dump(scores, file, indent=1)
pd.DataFrame({"actual": actual, "predicted": predicted}).to_csv("confusion.csv", index=False)

import mlflow

mlflow.pyfunc.log_model(
    name="wine",
    python_model="serving.py",
    artifacts={"model": "model.json"},
    input_example=unseen[model["features"]].head(3),
    pip_requirements=["numpy", "pandas"],
)
scores
