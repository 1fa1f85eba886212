import { useEffect, useState } from 'react';

/** The present, again every `ms` while somebody looks; it stands still where `ms` is null. */
export function useNow(ms: number | null): number {
  const [now, setNow] = useState(Date.now);
  useEffect(() => {
    if (ms === null) {
      return;
    }
    const timer = setInterval(() => {
      if (!document.hidden) {
        setNow(Date.now());
      }
    }, ms);
    return () => {
      clearInterval(timer);
    };
  }, [ms]);
  return now;
}
