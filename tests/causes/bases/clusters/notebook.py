# %% [markdown] intro
# The data are made by the notebook itself, written to a file, read back
# %% ledger
%load_ext nbledger
# %% make
import numpy as np, pandas as pd
from sklearn.datasets import make_classification
X, y = make_classification(300, 8, random_state=0)
pd.DataFrame(X, columns=list("abcdefgh")).assign(y=y).to_csv("points.csv", index=False)
# %% read
df = pd.read_csv("points.csv")
from sklearn.linear_model import SGDClassifier
from nbledger import log
import time
# %% params
eta = 0.1
epochs = 3
# %% fit
%%mlrun sgd -p eta -p epochs -m loss --model clf
from sklearn.metrics import log_loss
A, b = df.drop(columns="y").values, df.y.values
clf = SGDClassifier(loss="log_loss", learning_rate="constant", eta0=eta, random_state=0)
for epoch in range(epochs):
    clf.partial_fit(A[:200], b[:200], classes=[0, 1])
    log(train=clf.score(A[:200], b[:200]))
    time.sleep(0.01)
loss = float(log_loss(b[200:], clf.predict_proba(A[200:])))
