# %% [markdown] intro
# The power of some signals after noise was added.
# %% ledger
%load_ext nbledger
# %% imports
import numpy as np
# %% params [parameters]
level = 0.1
# %% load
signals = np.load("signals.npy")
weights = np.load("weights.npy")
# %% noise
np.random.seed(3)
noisy = signals + level * np.random.standard_normal(signals.shape)
# %% window
window = np.hanning(noisy.shape[1])
# %% spectrum
spectrum = np.abs(np.fft.rfft(noisy * window, axis=1)) ** 2
# %% measure
%%mlrun measure -m power
power = float(weights @ spectrum.sum(axis=1) / weights.sum())
