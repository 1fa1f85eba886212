// As core/people.py tells people apart.
const IDENTITY = /^([^<>]*?)\s*<([^<>]*)>\s*$/;

/** By what people are told apart: the address of `Name <address>`, else the login, in lower case; "" for nobody. */
export function personKey(user: string | null): string {
  const { name, address } = parts(user);
  return (address === '' ? name : address).toLowerCase();
}

/** The name alone; "" for nobody. */
export function personName(user: string | null): string {
  const { name, address } = parts(user);
  return name === '' ? address : name;
}

function parts(user: string | null): { readonly name: string; readonly address: string } {
  const [, name = user ?? '', address = ''] = IDENTITY.exec(user ?? '') ?? [];
  return { name: name.trim(), address: address.trim() };
}

/** Everybody who made a run: by key, as the first of their runs spells them. */
export class People {
  add(user: string | null): void {
    const key = personKey(user);
    if (!this.spelt.has(key)) {
      this.spelt.set(key, user ?? '');
      const name = personName(user);
      this.count.set(name, (this.count.get(name) ?? 0) + 1);
    }
  }

  clear(): void {
    this.spelt.clear();
    this.count.clear();
  }

  get size(): number {
    return this.spelt.size;
  }

  /** The keys of all that are known by name, in the order of their names. */
  get keys(): readonly string[] {
    return [...this.spelt.keys()]
      .filter(Boolean)
      .sort((a, b) => this.label(a).localeCompare(this.label(b)));
  }

  /** The name, with the address where several bear it; "" for nobody. */
  label(key: string): string {
    const user = this.spelt.get(key) ?? key;
    const name = personName(user);
    return (this.count.get(name) ?? 0) > 1 ? user : name;
  }

  private readonly spelt = new Map<string, string>();
  private readonly count = new Map<string, number>();
}
