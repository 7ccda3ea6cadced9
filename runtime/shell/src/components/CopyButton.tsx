// Puts a text on the clipboard and says that it did.

import { useState } from 'react';
import { Icon } from './Icon';

export function CopyButton({ text, what }: { text: string; what: string }) {
  const [copied, setCopied] = useState<'no' | 'yes' | 'refused'>('no');

  async function copy(): Promise<void> {
    try {
      await navigator.clipboard.writeText(text);
      setCopied('yes');
    } catch {
      // The browser refuses without a permission; the text stays selectable beside the button.
      setCopied('refused');
    }
  }

  return (
    <>
      <button type="button" className="copy" onClick={() => void copy()} onBlur={() => setCopied('no')}>
        <Icon name={copied === 'yes' ? 'check' : 'copy'} />
        <span className="unseen">{`Copy ${what}`}</span>
      </button>
      <span role="status" className="copied">
        {copied === 'yes' && 'Copied'}
        {copied === 'refused' && 'Copying is not allowed here'}
      </span>
    </>
  );
}
