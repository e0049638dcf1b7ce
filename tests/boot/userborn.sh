# Stands where userborn stands. Makes the users that /etc/users lists and gives them the hashed password that is in
# /run/vaultix-for-user/NAME, but for the marker, which would be on a disk then; like userborn, it makes a user even if that
# file is not there, and says so.
while read -r name id; do
    sed -i "/^$name:/d" /etc/passwd /etc/shadow
    echo "$name:x:$id:$id::/:/bin/sh" >>/etc/passwd
    if hash=$(plain "/run/vaultix-for-user/$name" 2>&1); then
        echo "$name:$hash:1::::::" >>/etc/shadow
    fi
    echo "$name $hash" >>/out/userborn.log
done </etc/users
