# %% [markdown] intro
# Which letters are about what? Word counts of a folder of texts, and how surprising the last text of each kind is.
# %% ledger
%load_ext nbledger
# %% imports
import glob
import math
import os
from collections import Counter
# %% params [parameters]
smoothing = 0.5
top = 40
# %% stop
stop = set(open("stop.txt").read().split())
# %% read
texts = {}
for path in sorted(glob.glob("corpus/*.txt")):
    with open(path) as file:
        words = [word for word in file.read().split() if word not in stop]
    texts.setdefault(os.path.basename(path).split("-")[0], []).append(words)
# %% vocabulary
counted = Counter(word for letters in texts.values() for words in letters for word in words)
vocabulary = sorted(counted, key=lambda word: (-counted[word], word))[:top]
# %% show
print(len(vocabulary), "words, of these", sum(len(word) > 5 for word in vocabulary), "long ones")
# %% measure
def chances(letters):
    """The chance of each word of the vocabulary in some letters."""
    found = Counter(word for words in letters for word in words if word in vocabulary)
    total = sum(found.values()) + smoothing * len(vocabulary)
    return {word: (found[word] + smoothing) / total for word in vocabulary}
# %% evaluate
%%mlrun evaluate -m surprise -m kinds
kinds = len(texts)
bits = []
for kind, letters in texts.items():
    chance = chances(letters[:-1])
    bits += [-math.log2(chance[word]) for word in letters[-1] if word in chance]
surprise = sum(bits) / len(bits)
