# %% [markdown] intro
# Payments in one currency. The rates stand in a file that another department keeps.
# %% ledger
%load_ext nbledger
# %% imports
import csv
import json
import os
# %% rates
source = os.path.join(os.environ["OUTSIDE"], "rates.csv")
with open(source, newline="") as file:
    rates = {row["currency"]: float(row["rate"]) for row in csv.DictReader(file)}
# %% fees
fees = json.load(open("fees.json"))
# %% payments
with open("data/payments.csv", newline="") as file:
    payments = [(row["currency"], float(row["amount"])) for row in csv.DictReader(file)]
# %% total
%%mlrun total -m total
total = sum(amount * rates[currency] - fees[currency] for currency, amount in payments)
