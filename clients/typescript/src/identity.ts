// The identity services and their messages. Must not hold logic.

import { AppsService } from '../gen/mozaiks/identity/v1/apps_pb.js';
import { AuthService } from '../gen/mozaiks/identity/v1/auth_pb.js';
import { InstallationService } from '../gen/mozaiks/identity/v1/installation_pb.js';
import { MeService } from '../gen/mozaiks/identity/v1/me_pb.js';
import { SessionsService } from '../gen/mozaiks/identity/v1/sessions_pb.js';
import { SigningKeysService } from '../gen/mozaiks/identity/v1/signing_keys_pb.js';
import { TokensService } from '../gen/mozaiks/identity/v1/tokens_pb.js';
import { UsersService } from '../gen/mozaiks/identity/v1/users_pb.js';
import type { Client } from './client.js';
import type { Mozaiks } from './index.js';

export * from '../gen/mozaiks/identity/v1/apps_pb.js';
export * from '../gen/mozaiks/identity/v1/auth_pb.js';
export * from '../gen/mozaiks/identity/v1/installation_pb.js';
export * from '../gen/mozaiks/identity/v1/me_pb.js';
export * from '../gen/mozaiks/identity/v1/sessions_pb.js';
export * from '../gen/mozaiks/identity/v1/signing_keys_pb.js';
export * from '../gen/mozaiks/identity/v1/tokens_pb.js';
export * from '../gen/mozaiks/identity/v1/users_pb.js';

/** The identity services, each made when it is first used. */
export interface Identity {
  readonly apps: Client<typeof AppsService>;
  readonly auth: Client<typeof AuthService>;
  readonly installation: Client<typeof InstallationService>;
  readonly me: Client<typeof MeService>;
  readonly sessions: Client<typeof SessionsService>;
  readonly signingKeys: Client<typeof SigningKeysService>;
  readonly tokens: Client<typeof TokensService>;
  readonly users: Client<typeof UsersService>;
}

/** The identity services on a way to the gateway. */
export function identity(mozaiks: Mozaiks): Identity {
  return {
    get apps() {
      return mozaiks.service(AppsService);
    },
    get auth() {
      return mozaiks.service(AuthService);
    },
    get installation() {
      return mozaiks.service(InstallationService);
    },
    get me() {
      return mozaiks.service(MeService);
    },
    get sessions() {
      return mozaiks.service(SessionsService);
    },
    get signingKeys() {
      return mozaiks.service(SigningKeysService);
    },
    get tokens() {
      return mozaiks.service(TokensService);
    },
    get users() {
      return mozaiks.service(UsersService);
    },
  };
}
