// Starts the shell in its document. Must not hold anything a test could want to start by itself.

import { StrictMode } from 'react';
import { createRoot } from 'react-dom/client';
import { App } from './App';
import { readBootstrap } from './bootstrap';
import { createRuntime } from './contexts/RuntimeContext';
import { createCore } from './core';
import './styles/fonts.css';
import './styles/tokens.css';
import './styles/base.css';
import './styles/components.css';
import './styles/forms.css';
import './styles/frame.css';
import './styles/gate.css';
import './styles/pages.css';

const bootstrap = readBootstrap(document);
const root = document.getElementById('root');
if (root === null) throw new Error('the document has no element "root"');

createRoot(root).render(
  <StrictMode>
    <App core={createCore(bootstrap.app, __SHELL_VERSION__)} runtime={createRuntime(bootstrap)} />
  </StrictMode>,
);
