# %% [markdown] intro
# Prices of houses, by least squares.
# %% ledger
%load_ext nbledger
# %% imports
import numpy as np
import pandas as pd
# %% params [parameters]
holdout = 0.3
# %% load
houses = pd.read_csv("data/houses.csv")
towns = pd.read_csv("data/towns.csv")
# %% join
table = houses.merge(towns, on="town", how="left").sort_values("house")
# %% clean
for column in table.columns.intersection(["age", "income"]):
    table[column] = table[column].fillna(table[column].median())
# %% look
table.groupby("town")["price"].mean()
# %% features
columns = [c for c in ("area", "rooms", "age", "income") if c in table]
# %% split
chosen = np.random.RandomState(1).permutation(len(table))
cut = int(holdout * len(table))
test, train = table.iloc[chosen[:cut]], table.iloc[chosen[cut:]]
# %% fit
%%mlrun least-squares -m rmse -m rows
X = np.column_stack([np.ones(len(train)), train[columns].astype(float)])
coefficients, *_ = np.linalg.lstsq(X, train["price"].to_numpy(), rcond=None)
fitted = np.column_stack([np.ones(len(test)), test[columns].astype(float)]) @ coefficients
rmse = float(np.sqrt(np.mean((fitted - test["price"]) ** 2)))
rows = len(table)
