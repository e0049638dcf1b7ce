# id of a secret → what stands for its value in templates.
id: "{{ ${builtins.hashString "sha256" id} }}"
