{
  lib,
  rustPlatform,
  installShellFiles,
  stdenv,
}:

rustPlatform.buildRustPackage {
  pname = "orcls";
  version = "0.1.0";

  src = lib.cleanSource ../..;
  cargoLock.lockFile = ../../Cargo.lock;
  buildType = "dist";

  nativeBuildInputs = [ installShellFiles ];

  # The tests compile kernel-like sources with the system's compiler, which the sandbox wraps.
  doCheck = false;

  postInstall = lib.optionalString (stdenv.buildPlatform.canExecute stdenv.hostPlatform) ''
    $out/bin/orcls man man
    installManPage man/*.1
    for shell in bash zsh fish; do
      $out/bin/orcls completions $shell > orcls.$shell
    done
    installShellCompletion orcls.{bash,zsh,fish}
  '';

  meta = {
    description = "Language server for Linux stack validation: objtool's verdicts on the line that causes them";
    license = lib.licenses.gpl2Plus;
    mainProgram = "orcls";
    platforms = [ "x86_64-linux" "aarch64-linux" ];
  };
}
