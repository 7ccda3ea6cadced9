// What has just been done, for eyes and screen readers.

import { Icon } from './Icon';

export function Said({ children }: { children: string }) {
  return (
    <p role="status" className="said">
      {children !== '' && (
        <>
          <Icon name="check" />
          {children}
        </>
      )}
    </p>
  );
}
