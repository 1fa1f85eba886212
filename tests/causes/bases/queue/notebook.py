# %% [markdown] intro
# How long do people wait at the counters?
# %% ledger
%load_ext nbledger
# %% imports
import json
import random
import statistics

import sim
from sim.report import line
# %% config
with open("config.json") as file:
    config = json.load(file)
# %% seed
random.seed(5)
# %% arrivals
arrivals = sim.times(config["customers"], config["arrivals"])
# %% plan
clerks = config["clerks"]
# %% simulate
%%mlrun hall -p clerks -m wait -m served
waits = sim.waits(arrivals, config["service"], clerks)
wait = statistics.fmean(waits)
served = len(waits)
print(line(config["report"]["title"], wait, config["report"]["digits"]))
