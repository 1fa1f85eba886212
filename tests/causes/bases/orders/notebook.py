# %% [markdown] intro
# What is a customer worth? From raw orders to a table of features on disk, and from that to one number.
# %% ledger
%load_ext nbledger
# %% imports
import csv
import json
import os
# %% params [parameters]
half_life = 30
# %% prepare
os.makedirs("work", exist_ok=True)
with open("raw/orders.jsonl") as file:
    orders = [json.loads(line) for line in file]
with open("work/features.csv", "w", newline="") as file:
    writer = csv.writer(file)
    writer.writerow(["customer", "total", "recency"])
    for customer in sorted({order["customer"] for order in orders}):
        own = [order for order in orders if order["customer"] == customer]
        total = sum(order["amount"] * order["items"] for order in own)
        writer.writerow([customer, f"{total:.2f}", 60 - max(order["day"] for order in own)])
# %% segments
with open("raw/customers.csv", newline="") as file:
    segment = {row["customer"]: row["segment"] for row in csv.DictReader(file)}
# %% value
%%mlrun value -m value -m customers
with open("work/features.csv", newline="") as file:
    table = list(csv.DictReader(file))
worth = {"a": 1.0, "b": 0.8, "c": 0.5}
value = 0.0
for row in table:
    value += float(row["total"]) * worth[segment[row["customer"]]] * 0.5 ** (float(row["recency"]) / half_life)
customers = len(table)
