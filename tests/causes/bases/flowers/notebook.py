# %% [markdown] intro
# Which flower is it?
# %% ledger
%load_ext nbledger
# %% imports
import csv

import numpy as np
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split
# %% load
with open("data/flowers.csv", newline="") as file:
    header, *rows = csv.reader(file)
X = np.array([[float(v) for v in row[:-1]] for row in rows])
y = np.array([row[-1] for row in rows])
# %% split
X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.4, random_state=0)
# %% fit
%%mlrun forest -p depth -m loss
depth = 3
model = RandomForestClassifier(n_estimators=15, max_depth=depth, random_state=0)
model.fit(X_train, y_train)
loss = float(log_loss(y_test, model.predict_proba(X_test)))
