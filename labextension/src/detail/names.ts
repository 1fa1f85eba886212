/** What MLflow takes as a model's name. */
export function nameOk(name: string): boolean {
  return name.trim() !== '' && name.length <= 250 && !/[/:]/.test(name);
}

/** What MLflow takes as an alias; none is right too. */
export function aliasOk(alias: string): boolean {
  const wanted = alias.trim();
  return (
    wanted === '' ||
    (/^[\w-]{1,250}$/.test(wanted) && wanted !== 'latest' && !/^v\d+$/i.test(wanted))
  );
}
