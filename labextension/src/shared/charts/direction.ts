/** Whether a greater or a lesser value of a metric is better; null where its name does not tell. */
export type Direction = 'up' | 'down' | null;

const LOWER =
  /(^|[^a-z])(val)?(loss|error|err|mse|rmse|mae|mape|smape|rmsle|msle|nll|logloss|perplexity|ppl|cost|regret|deviance|aic|bic|wer|cer|fid|brier|ece|distance|divergence|kl|fpr|fnr|time|latency|seconds|ms|duration|memory|runtime)([^a-z]|$)/;
const HIGHER =
  /(^|[^a-z])(acc|accuracy|auc|auroc|auprc|roc|f1|f2|fbeta|precision|recall|r2|score|map|ndcg|mrr|bleu|rouge\d*|iou|dice|kappa|mcc|tpr|tnr|specificity|sensitivity|gain|reward|return|likelihood|throughput|correct|silhouette|hits|ssim|psnr)([^a-z]|$)/;

/** What a metric's name says about what is better: `val_loss` less, `accuracy` more. */
export function direction(name: string): Direction {
  const words = name
    .replace(/([a-z\d])([A-Z])/g, '$1_$2')
    .toLowerCase()
    .replace(/log_loss/g, 'logloss');
  const lower = LOWER.test(words);
  const higher = HIGHER.test(words);
  // Names such as `accuracy_error`: the last word is what is measured.
  if (lower && higher) {
    return words.search(LOWER) > words.search(HIGHER) ? 'down' : 'up';
  }
  return lower ? 'down' : higher ? 'up' : null;
}

/** The positions of the best values; none where fewer than two are numbers, or all are alike. */
export function best(values: readonly (number | null)[], better: Direction): readonly number[] {
  const known = values.filter((value): value is number => value !== null && !Number.isNaN(value));
  if (better === null || known.length < 2) {
    return [];
  }
  const top = better === 'up' ? Math.max(...known) : Math.min(...known);
  if (known.every(value => value === top) && known.length === values.length) {
    return [];
  }
  return values.flatMap((value, index) => (value === top ? [index] : []));
}
