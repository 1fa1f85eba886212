import { useLayoutEffect, useRef, useState, type RefObject } from 'react';

/** The width of an element, in whole pixels, as it changes. */
export function useWidth<T extends HTMLElement>(initial: number): [RefObject<T>, number] {
  const place = useRef<T>(null);
  const [width, setWidth] = useState(initial);
  useLayoutEffect(() => {
    const element = place.current;
    if (!element) {
      return;
    }
    const measure = (): void => {
      const found = Math.floor(element.clientWidth);
      if (found > 0) {
        setWidth(found);
      }
    };
    measure();
    if (typeof ResizeObserver === 'undefined') {
      return;
    }
    const observer = new ResizeObserver(measure);
    observer.observe(element);
    return () => {
      observer.disconnect();
    };
  }, []);
  return [place, width];
}
