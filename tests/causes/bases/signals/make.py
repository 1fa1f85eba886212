"""Makes the arrays of this base."""

import numpy as np

rng = np.random.default_rng(42)
time = np.arange(400) / 100
waves = [np.sin(2 * np.pi * (1 + k) * time) + 0.3 * rng.standard_normal(400) for k in range(12)]
np.save("signals.npy", np.array(waves))
np.save("weights.npy", np.linspace(1, 2, 12))
