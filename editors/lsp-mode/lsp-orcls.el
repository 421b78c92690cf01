;;; lsp-orcls.el --- orcls, a language server for Linux stack validation -*- lexical-binding: t; -*-

;; For lsp-mode, as clients/lsp-orcls.el.  Beside clangd: an add-on, so that C keeps its own server.

;;; Code:

(require 'lsp-mode)

(defgroup lsp-orcls nil
  "The verdicts of Linux's objtool, on the line that causes them."
  :group 'lsp-mode)

(defcustom lsp-orcls-command '("orcls" "lsp")
  "The command that starts the server."
  :type '(repeat string)
  :group 'lsp-orcls)

(defcustom lsp-orcls-trusted nil
  "Whether the server may run the compilers that a workspace's build names."
  :type 'boolean
  :group 'lsp-orcls)

(lsp-register-client
 (make-lsp-client
  :new-connection (lsp-stdio-connection (lambda () lsp-orcls-command))
  :activation-fn (lsp-activate-on "asm" "c" "cpp")
  :major-modes '(asm-mode)
  :add-on? t
  :server-id 'orcls
  :initialization-options
  (lambda () `(:orcls (:trusted ,(if lsp-orcls-trusted t :json-false))))))

(lsp-consistency-check lsp-orcls)

(provide 'lsp-orcls)
;;; lsp-orcls.el ends here
